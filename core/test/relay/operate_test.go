// SPDX-License-Identifier: Apache-2.0

package relay_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postroad-mail/postroad/core/internal/control"
	"github.com/postroad-mail/postroad/core/internal/testkit"
	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/core/relay"
	"github.com/postroad-mail/postroad/sdk/abi"
)

const labelled = "listener: tenant = \"house\"\nlistener: tenant_header = \"X-Tenant\"\nlistener: campaign_header = \"X-Campaign\"\n" +
	"listener: priority = 10\nlistener: priority_header = \"X-Urgency\"\n"

// onDisk is a relay with a control socket, and its operator.
func onDisk(t *testing.T, hcl string) (*rig, *control.Client) {
	t.Helper()
	g := &rig{t: t, sink: testkit.NewSink(t, testkit.SinkOptions{}), clock: relay.NewFakeClock(time.Date(2030, 1, 1, 9, 0, 0, 0, time.UTC)), ended: make(chan error, 1)}
	o := g.options(hcl, nil)
	o.InMemory = false
	r, err := relay.Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	g.run(r)
	return g, control.Dial(control.SocketPath(r.DataDir()))
}

// again ends the relay and starts it on the same data directory.
func (g *rig) again(hcl string) {
	g.t.Helper()
	dir := g.r.DataDir()
	g.end()
	o := g.options(hcl, nil)
	o.InMemory, o.DataDir = false, dir
	r, err := relay.Open(context.Background(), o)
	if err != nil {
		g.t.Fatal(err)
	}
	g.run(r)
}

// Tenant, campaign and priority come from the listener or from fields of a client
// that is trusted, and the fields do not leave with the message.
func TestTenantCampaignAndPriorityOfAMessage(t *testing.T) {
	g, op := onDisk(t, base("", labelled))
	if _, err := op.Suspend(context.Background(), control.SuspendAction{Select: mail.QueueSelector{Route: "next"}, For: time.Hour, Reason: "x", Yes: true}); err != nil {
		t.Fatal(err)
	}
	c := g.dial()
	c.send(250, "a@here.test", hello, "b@far.test")
	c.send(250, "a@here.test", "x-tenant: shop\r\nX-CAMPAIGN:\r\n spring\r\nX-Urgency: -20\r\n"+hello, "b@far.test")
	c.send(554, "a@here.test", "X-Tenant: two words\r\n"+hello, "b@far.test")
	for _, bad := range []string{"101", "-101", "urgent", "5.0", "1 2", ""} {
		c.send(554, "a@here.test", "X-Urgency: "+bad+"\r\n"+hello, "b@far.test")
	}
	c.send(554, "a@here.test", "X-Tenant: one\r\nX-Tenant: two\r\n"+hello, "b@far.test")
	g.idle()
	q := g.queue()
	slices.SortFunc(q, func(a, b mail.QueueEntry) int { return strings.Compare(a.Tenant, b.Tenant) })
	if len(q) != 2 || q[0].Tenant != "house" || q[0].Campaign != "" || q[1].Tenant != "shop" || q[1].Campaign != "spring" || q[0].Priority != 10 || q[1].Priority != -20 {
		t.Errorf("%+v", q)
	}
	m, err := op.Show(context.Background(), q[1].ID)
	if err != nil || strings.Contains(strings.ToLower(m.Header), "x-tenant") || strings.Contains(m.Header, "spring") || strings.Contains(m.Header, "Urgency") {
		t.Errorf("%v\n%s", err, m.Header)
	}
}

// A stage has the last word about tenant and campaign: a later stage's `when`
// knows it, and operators find the message by it.
func TestTenantFromAStage(t *testing.T) {
	hcl := strings.Replace(base(testStage+"\nstage \"later\" {\n plugin = plugin.test\n when = envelope.tenant == \"shop\" && envelope.campaign == \"\"\n}", labelled+testPlugin), `hosts = [env("SINK", "")]`, `hosts = ["127.0.0.1:1"]`, 1)
	g := newRig(t, hcl, native(func(m relay.Message) (mail.Verdict, error) {
		if m.StageName() == "later" {
			return mail.Continue, m.SetLabel(abi.LabelCampaign, "spring")
		}
		if m.Envelope().Tenant != "house" && m.Envelope().Tenant != "field" {
			return mail.Continue, fmt.Errorf("tenant %q", m.Envelope().Tenant)
		}
		return mail.Continue, errors.Join(m.SetLabel(abi.LabelTenant, "shop"), m.SetLabel(abi.LabelCampaign, ""))
	}))
	c := g.dial()
	c.send(250, "a@here.test", hello, "b@far.test")
	c.send(250, "a@here.test", "X-Tenant: field\r\nX-Campaign: field\r\n"+hello, "b@far.test")
	g.idle()
	for _, m := range g.queue() {
		if m.Tenant != "shop" || m.Campaign != "spring" {
			t.Errorf("%+v", m)
		}
	}
	if n := len(g.queue()); n != 2 {
		t.Errorf("%d messages are queued", n)
	}
}

// A stranger's fields are not believed, and do not go on to a relay that might.
func TestTenantOfAStranger(t *testing.T) {
	hcl := strings.Replace(base("", labelled), `relay_from = ["127.0.0.0/8"]`, "", 1)
	hcl = strings.Replace(hcl, "rule { route = route.next }", "rule {\n domains = [\"far.test\"]\n accept = true\n route = route.next\n}\nrule { route = route.next }", 1)
	g := newRig(t, hcl, nil)
	g.dial().send(250, "a@here.test", "X-Tenant: shop\r\nX-Campaign: not a name\r\nX-Urgency: 1000\r\n"+hello, "b@far.test")
	g.idle()
	got := g.sink.Messages()
	if len(got) != 1 || bytes.Contains(got[0].Content, []byte("X-Tenant")) || bytes.Contains(got[0].Content, []byte("X-Campaign")) || bytes.Contains(got[0].Content, []byte("X-Urgency")) {
		t.Errorf("%+v", got)
	}
}

// A class of a route has times of its own, and who asks is told its name.
func TestClassOfARoute(t *testing.T) {
	hcl := base("", labelled+"route \"dead\" {\n  smarthost { hosts = [\"127.0.0.1:1\"] }\n  class \"codes\" {\n    lowest = 50\n    expire = \"15m\"\n  }\n}\n")
	g, op := onDisk(t, strings.Replace(hcl, "rule { route = route.next }", "rule { route = route.dead }", 1))
	for _, priority := range []string{"49", "50"} {
		g.dial().send(250, "a@here.test", "X-Urgency: "+priority+"\r\n"+hello, "b@far.test")
	}
	g.idle()
	for _, e := range g.queue() {
		m, err := op.Show(context.Background(), e.ID)
		if err != nil {
			t.Fatal(err)
		}
		class, age := "", 5*24*time.Hour
		if m.Priority == 50 {
			class, age = "codes", 15*time.Minute
		}
		if r := m.Recipients[0]; r.Class != class || !r.Expires.Equal(m.Received.Add(age)) {
			t.Errorf("priority %d: %+v", m.Priority, r)
		}
	}
}

// A suspension outlives a restart, is for mail that comes later as well, and
// costs no attempt and no time.
func TestSuspension(t *testing.T) {
	hcl := base("", labelled)
	g, op := onDisk(t, hcl)
	ctx := context.Background()
	d, err := op.Suspend(ctx, control.SuspendAction{Select: mail.QueueSelector{Tenant: "shop"}, For: 5 * time.Hour, Reason: "complaints", By: "ann", Yes: true})
	if err != nil {
		t.Fatal(err)
	}
	send := func() { g.dial().send(250, "a@here.test", "X-Tenant: shop\r\n"+hello, "b@far.test") }
	send()
	g.dial().send(250, "a@here.test", hello, "b@far.test")
	g.idle()
	g.again(hcl)
	send()
	g.idle()
	if n := g.sink.Count(); n != 1 {
		t.Errorf("%d messages arrived, of which one is of another tenant", n)
	}
	for _, m := range g.queue() {
		r := m.Recipients[0]
		if r.Now != "suspended" || r.Attempts != 0 || !r.Until.Equal(d.Suspension.Until) || !strings.Contains(r.Why, "tenant shop") || !strings.Contains(r.Why, "ann: complaints") {
			t.Errorf("%+v", r)
		}
	}
	if _, err := op.Resume(ctx, control.ResumeAction{IDs: []string{d.Suspension.ID}}); err != nil {
		t.Fatal(err)
	}
	g.idle()
	if n := g.sink.Count(); n != 3 || len(g.queue()) != 0 {
		t.Errorf("%d messages arrived", n)
	}
}

// What an operator bounces comes back to its sender in the operator's words, and
// what he reroutes goes there at once.
func TestBounceAndReroute(t *testing.T) {
	hcl := base("", "route \"dead\" {\n  smarthost { hosts = [\"127.0.0.1:1\"] }\n  retry = [\"1h\"]\n}\n")
	hcl = strings.Replace(hcl, "rule { route = route.next }", "rule {\n domains = [\"far.test\"]\n route = route.dead\n}\nrule { route = route.next }", 1)
	g, op := onDisk(t, hcl)
	ctx := context.Background()
	g.dial().send(250, "a@here.test", hello, "b@far.test", "c@far.test")
	g.idle()
	d, err := op.Act(ctx, control.Action{Verb: "bounce", Select: &mail.QueueSelector{Recipient: "c@far.test"}, Reply: "550 5.2.1 this box is closed", Reason: "asked to", Yes: true})
	if err != nil || d.Messages != 1 || d.Recipients != 1 || !d.Did {
		t.Fatalf("%+v, %v", d, err)
	}
	g.idle()
	got := g.sink.Messages()
	if len(got) != 1 || !bytes.Contains(got[0].Content, []byte("this box is closed")) || bytes.Contains(got[0].Content, []byte("asked to")) {
		t.Errorf("%d messages, %+v", len(got), got)
	}
	if d, err = op.Act(ctx, control.Action{Verb: "reroute", Select: &mail.QueueSelector{Route: "dead"}, To: "next", Reason: "dead", Yes: true}); err != nil || d.Recipients != 1 {
		t.Fatalf("%+v, %v", d, err)
	}
	g.idle()
	if n := g.sink.Count(); n != 2 || len(g.queue()) != 0 {
		t.Errorf("%d messages arrived, %+v", n, g.queue())
	}
}

// What is moved to another machine is there with all that was known of it, and
// no longer here.
func TestExportToAnotherMachine(t *testing.T) {
	hcl := strings.Replace(base("", ""), `hosts = [env("SINK", "")]`, `hosts = ["127.0.0.1:1"]`, 1)
	from, op := onDisk(t, hcl)
	to, other := onDisk(t, hcl)
	ctx := context.Background()
	big := hello + strings.Repeat("0123456789012345678901234567890123456789\r\n", 5000)
	for _, content := range []string{hello, big} {
		from.dial().send(250, "a@here.test", content, "b@far.test", "c@far.test")
	}
	from.idle()
	var file bytes.Buffer
	if err := op.Export(ctx, control.ExportAction{Select: &mail.QueueSelector{}, Remove: true}, &file); err != nil {
		t.Fatal(err)
	}
	want := from.queue()
	for _, yes := range []bool{false, true} {
		i, err := other.Import(ctx, control.ImportAction{Yes: yes}, bytes.NewReader(file.Bytes()))
		if err != nil || i.Messages != 2 || i.Recipients != 4 || i.Did != yes || len(i.Refused) > 0 {
			t.Fatalf("%+v, %v", i, err)
		}
	}
	to.again(hcl)
	got := to.queue()
	for n := range want {
		w, g := want[n], got[n]
		if w.State != "held" || g.State != "deferred" || g.ID != w.ID || g.Size != w.Size || g.Recipients[1].Attempts != 1 || g.Recipients[1].Last != w.Recipients[1].Last {
			t.Errorf("from %+v\nto %+v", w, g)
		}
	}
	var again bytes.Buffer
	if err := control.Dial(control.SocketPath(to.r.DataDir())).Export(ctx, control.ExportAction{Select: &mail.QueueSelector{}}, &again); err != nil || !bytes.Equal(file.Bytes(), again.Bytes()) {
		t.Errorf("%v: the export of what was imported differs", err)
	}
	damaged := bytes.Clone(file.Bytes())
	damaged[len(damaged)/2] ^= 1
	fresh, empty := onDisk(t, hcl)
	var refused *control.Refused
	if _, err := empty.Import(ctx, control.ImportAction{Yes: true}, bytes.NewReader(damaged)); !errors.As(err, &refused) || !strings.Contains(err.Error(), "checksum") {
		t.Errorf("a damaged export gave %v", err)
	}
	if n := len(fresh.queue()); n > 1 {
		t.Errorf("%d messages of a damaged export are queued", n)
	}
}
