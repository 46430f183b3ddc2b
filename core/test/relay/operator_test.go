// SPDX-License-Identifier: Apache-2.0

package relay_test

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/postroad-mail/postroad/core/internal/testkit"
	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/core/relay"
)

// twoMessages are all that an operator can tell messages by: of two that wait for
// another try, each selector is for the first alone.
func twoMessages(t *testing.T) (g *rig, op *relay.Operator, first, other string) {
	hcl := strings.Replace(base("", labelled), "rule { route = route.next }", "rule {\n domains = [\"two.test\"]\n route = route.other\n}\nrule { route = route.next }", 1)
	hcl += "route \"other\" {\n  smarthost { hosts = [env(\"SINK\", \"\")] }\n  retry = [\"10h\"]\n}\nroute \"spare\" {\n  smarthost { hosts = [env(\"SINK\", \"\")] }\n  retry = [\"10h\"]\n}\n"
	hcl = strings.Replace(hcl, `retry  = ["10m", "1h"]`, `retry  = ["10h"]`, 1)
	g = newRig(t, hcl, nil)
	g.sink.SetScript(testkit.Scripts(testkit.RefuseRcpt("one.test", "451 4.2.2 the box is full"), testkit.RefuseRcpt("two.test", "451 4.7.1 come later")))
	op = g.r.Operator("ann")
	g.dial().send(250, "a@shop.test", "X-Tenant: shop\r\nX-Campaign: spring\r\n"+hello, "x@one.test")
	g.idle()
	first = g.queue()[0].ID
	g.clock.Advance(2 * time.Hour)
	g.dial().send(250, "b@bank.test", "X-Tenant: bank\r\nX-Campaign: autumn\r\n"+hello, "y@two.test")
	g.idle()
	if q := g.queue(); len(q) == 2 {
		return g, op, first, q[1].ID
	}
	t.Fatalf("%+v", g.queue())
	return
}

// selectors are for the first of twoMessages alone.
func selectors() map[string]mail.QueueSelector {
	return map[string]mail.QueueSelector{
		"domain":               {Domain: "one.test"},
		"recipient":            {Recipient: "x@one.test"},
		"sender":               {Sender: "a@shop.test"},
		"domain of the sender": {Sender: "@shop.test"},
		"tenant":               {Tenant: "shop"},
		"campaign":             {Campaign: "spring"},
		"route":                {Route: "next"},
		"next hop":             {Hop: "smarthost next"},
		"age":                  {OlderThan: time.Hour},
		"reply":                {Reply: "box is full"},
		"status":               {State: "held"},
		"all of them": {Domain: "one.test", Recipient: "x@one.test", Sender: "a@shop.test", Tenant: "shop", Campaign: "spring", Route: "next",
			Hop: "smarthost next", OlderThan: time.Hour, Reply: "box is full"},
	}
}

// verbs are what operators do, and how the first of twoMessages can be told by
// it.
func verbs() map[string]struct {
	action relay.QueueAction
	before bool // the first is held before
	is     func(m *mail.QueueEntry) bool
} {
	type row = struct {
		action relay.QueueAction
		before bool
		is     func(m *mail.QueueEntry) bool
	}
	gone := func(m *mail.QueueEntry) bool { return m == nil }
	return map[string]row{
		"retry":   {relay.QueueAction{Verb: relay.VerbRetry}, false, func(m *mail.QueueEntry) bool { return m != nil && m.Recipients[0].Attempts == 2 }},
		"hold":    {relay.QueueAction{Verb: relay.VerbHold}, false, func(m *mail.QueueEntry) bool { return m != nil && m.State == "held" }},
		"release": {relay.QueueAction{Verb: relay.VerbRelease}, true, func(m *mail.QueueEntry) bool { return m != nil && m.State == "deferred" }},
		"bounce":  {relay.QueueAction{Verb: relay.VerbBounce}, false, gone},
		"drop":    {relay.QueueAction{Verb: relay.VerbDrop}, false, gone},
		"reroute": {relay.QueueAction{Verb: relay.VerbReroute, Route: "spare"}, false, func(m *mail.QueueEntry) bool { return m != nil && m.Recipients[0].Route == "spare" }},
	}
}

// TestEveryVerbByEveryIndex: each is a dry run first, which does nothing, and then
// it is done to what was meant alone.
func TestEveryVerbByEveryIndex(t *testing.T) {
	for verb, v := range verbs() {
		for index, s := range selectors() {
			t.Run(verb+" by "+index, func(t *testing.T) { oneVerb(t, v.action, v.before || s.State == "held", &s, v.is) })
		}
		t.Run(verb+" by id", func(t *testing.T) { oneVerb(t, v.action, v.before, nil, v.is) })
	}
}

func oneVerb(t *testing.T, a relay.QueueAction, before bool, s *mail.QueueSelector, is func(m *mail.QueueEntry) bool) {
	g, op, first, other := twoMessages(t)
	act := func(a relay.QueueAction, did bool) {
		t.Helper()
		a.Reason = "ticket 4711"
		if d, err := op.Act(t.Context(), a); err != nil || d.Messages != 1 || d.Recipients != 1 || d.Did != did {
			t.Fatalf("%+v, %v", d, err)
		}
		g.idle()
	}
	if s != nil && s.State == "held" && a.Verb == relay.VerbRetry { // what is held stays held: the other is
		s.State = "deferred"
		act(relay.QueueAction{Verb: relay.VerbHold, IDs: []string{other}}, true)
	} else if before {
		act(relay.QueueAction{Verb: relay.VerbHold, IDs: []string{first}}, true)
	}
	if a.Select = s; s == nil {
		a.IDs = []string{first}
	} else {
		was := g.entry(first)
		act(a, false)
		if now := g.entry(first); now == nil || now.State != was.State || !reflect.DeepEqual(now.Recipients, was.Recipients) {
			t.Errorf("a dry run made %+v of %+v", now, was)
		}
	}
	a.Yes = true
	untouched := g.entry(other)
	act(a, true)
	if m := g.entry(first); !is(m) {
		t.Errorf("the first is %+v", m)
	}
	if m := g.entry(other); m == nil || m.State != untouched.State || !reflect.DeepEqual(m.Recipients, untouched.Recipients) {
		t.Errorf("the other is %+v, and was %+v", m, untouched)
	}
}

// entry is a message of the queue, nil when it is gone.
func (g *rig) entry(id string) *mail.QueueEntry {
	for _, m := range g.queue() {
		if m.ID == id {
			return &m
		}
	}
	return nil
}

// TestListAndExportByEveryIndex: what is shown and what is written is what a verb
// would be for.
func TestListAndExportByEveryIndex(t *testing.T) {
	g, op, first, other := twoMessages(t)
	if _, err := op.Act(t.Context(), relay.QueueAction{Verb: relay.VerbHold, IDs: []string{first}, Reason: "ticket 4711"}); err != nil {
		t.Fatal(err)
	}
	for index, s := range selectors() {
		l, err := op.List(t.Context(), relay.QueueFilter{QueueSelector: s})
		if err != nil || len(l) != 1 || l[0].ID != first {
			t.Errorf("list by %s: %+v, %v", index, l, err)
		}
		var file bytes.Buffer
		if err := op.Export(t.Context(), relay.QueueExport{Select: &s}, &file); err != nil || !strings.Contains(file.String(), first) || strings.Contains(file.String(), other) {
			t.Errorf("export by %s: %v, %.100q", index, err, file.String())
		}
	}
	if m, err := op.Explain(t.Context(), other); err != nil || m.Recipients[0].Now != "waiting" || !strings.Contains(m.Header, "Subject: hello") {
		t.Errorf("%+v, %v", m, err)
	}
	var file bytes.Buffer
	if err := op.Export(t.Context(), relay.QueueExport{IDs: []string{other}, Remove: true}, &file); err != nil || g.entry(other).State != "held" {
		t.Errorf("%+v, %v", g.entry(other), err)
	}
	if _, err := op.Act(t.Context(), relay.QueueAction{Verb: relay.VerbDrop, IDs: []string{other}, Reason: "moved"}); err != nil {
		t.Fatal(err)
	}
	for _, yes := range []bool{false, true} {
		if i, err := op.Import(t.Context(), yes, bytes.NewReader(file.Bytes())); err != nil || i.Messages != 1 || i.Did != yes || (g.entry(other) != nil) != yes {
			t.Errorf("%+v, %v", i, err)
		}
	}
}

// TestSuspendAndResumeByEveryIndex is about those that suspensions go by; others
// are refused, for mail that comes later would not be told from what is meant.
func TestSuspendAndResumeByEveryIndex(t *testing.T) {
	_, op, _, _ := twoMessages(t)
	for index, s := range selectors() {
		d, err := op.Suspend(t.Context(), relay.QueueSuspension{Select: s, For: time.Hour, Reason: "ticket 4711", Yes: true})
		switch index {
		case "domain", "tenant", "campaign", "route":
			if err != nil || d.Messages != 1 || d.Suspension == nil || d.Suspension.By != "operator ann" {
				t.Errorf("suspend by %s: %+v, %v", index, d, err)
			}
			for _, yes := range []bool{false, true} {
				if ended, err := op.Resume(t.Context(), relay.QueueResume{Select: &s, Yes: yes}); err != nil || len(ended) != 1 || ended[0].ID != d.Suspension.ID {
					t.Errorf("resume by %s: %+v, %v", index, ended, err)
				}
			}
		default:
			if _, resume := op.Resume(t.Context(), relay.QueueResume{Select: &s}); err == nil || resume == nil {
				t.Errorf("suspend by %s: %v, resume: %v", index, err, resume)
			}
		}
	}
	if ss, err := op.Suspensions(t.Context()); err != nil || len(ss) != 0 {
		t.Errorf("%+v, %v", ss, err)
	}
}
