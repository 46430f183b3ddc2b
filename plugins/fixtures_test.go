// SPDX-License-Identifier: Apache-2.0

package plugins_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/core/plugintest"
	"github.com/postroad-mail/postroad/plugins"
)

// Fixtures are messages with what a plugin makes of them, in
// plugins/<name>/fixtures: a file is one configuration and the messages that
// pass it in turn. Lists of lines keep them readable. After a change of
// behaviour that was meant, `go test ./plugins -run Fixtures -update` writes
// what happens now into the files; read the difference.
type fixture struct {
	About  string    `json:"about"`            // what it shows
	Config lines     `json:"config"`           // inside of the stage's config block
	Blocks lines     `json:"blocks,omitempty"` // other blocks of pipeline.hcl
	Runs   []runCase `json:"runs"`
}

type lines []string

func (l lines) text() string { return strings.Join(l, "\n") }

// runCase is one message. Empty fields have plugintest's plain values.
type runCase struct {
	Advance  string            `json:"advance,omitempty"` // moves the clock before
	From     string            `json:"from,omitempty"`
	To       []string          `json:"to,omitempty"`
	Client   string            `json:"client,omitempty"` // address
	User     string            `json:"user,omitempty"`   // authenticated
	SMTPUTF8 bool              `json:"smtputf8,omitempty"`
	Meta     map[string]string `json:"meta,omitempty"`
	EML      lines             `json:"eml,omitempty"`
	Expect   expectation       `json:"expect"`
}

// expectation is what happened: the calls with their verdicts and replies, the
// edits in order, and the message when something was edited in it.
type expectation struct {
	Calls   []string `json:"calls"`
	Edits   []string `json:"edits,omitempty"`
	Sender  string   `json:"sender,omitempty"` // when it changed
	To      []string `json:"to,omitempty"`     // when recipients changed; "-" was removed
	Routes  []string `json:"routes,omitempty"` // when some were chosen; by recipient
	Message lines    `json:"message,omitempty"`
}

var update = flag.Bool("update", false, "write what happens now into the fixtures")

func TestFixtures(t *testing.T) {
	for _, name := range plugins.Names() {
		files, err := filepath.Glob(name + "/fixtures/*.json")
		if err != nil || len(files) == 0 {
			t.Fatalf("%s has no fixtures (%v)", name, err)
		}
		for _, file := range files {
			t.Run(name+"/"+strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
				t.Parallel()
				runFixture(t, modulePath(name), file)
			})
		}
	}
}

// modulePath is the committed module, or the one that the build tool wants to
// have tested.
func modulePath(name string) string {
	if dir := os.Getenv("POSTROAD_TEST_MODULES"); dir != "" {
		return filepath.Join(dir, name+".wasm")
	}
	return filepath.Join(name, name+".wasm")
}

func runFixture(t *testing.T, module, file string) {
	f := readFixture(t, file)
	p := plugintest.Load(t, module, plugintest.Setup{Config: f.Config.text(), Blocks: f.Blocks.text()})
	for n := range f.Runs {
		c := &f.Runs[n]
		p.Advance(duration(t, c.Advance))
		got := observe(t, c, p.Run(c.message(t)))
		if !*update && !reflect.DeepEqual(got, c.Expect) {
			t.Errorf("message %d:\n got %s\nwant %s\nlog %s", n+1, show(t, got), show(t, c.Expect), p.Log())
		}
		c.Expect = got
	}
	if *update {
		writeFixture(t, file, f)
	}
}

func readFixture(t *testing.T, file string) fixture {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	var f fixture
	if err := d.Decode(&f); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return f
}

func writeFixture(t *testing.T, file string, f fixture) {
	t.Helper()
	if err := os.WriteFile(file, []byte(show(t, f)), 0o644); err != nil {
		t.Fatal(err)
	}
}

func show(t *testing.T, v any) string {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func duration(t *testing.T, s string) time.Duration {
	t.Helper()
	if s == "" {
		return 0
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func (c *runCase) message(t *testing.T) plugintest.Message {
	t.Helper()
	m := plugintest.Message{From: c.From, To: c.To, EML: c.EML.text(), Meta: c.Meta, SMTPUTF8: c.SMTPUTF8, EightBit: true}
	m.Client.User, m.Client.Authenticated = c.User, c.User != ""
	if c.Client != "" {
		a, err := netip.ParseAddr(c.Client)
		if err != nil {
			t.Fatal(err)
		}
		m.Client.Addr = netip.AddrPortFrom(a, 50000)
	}
	return m
}

// observe describes a result in the words of an expectation. A plugin that fails
// fails the test.
func observe(t *testing.T, c *runCase, r *plugintest.Result) expectation {
	t.Helper()
	if r.Err != nil {
		t.Fatalf("the plugin failed: %v", r.Err)
	}
	e := expectation{Calls: []string{}}
	for _, call := range r.Calls {
		e.Calls = append(e.Calls, describe(call))
	}
	inMessage := false
	for _, edit := range r.Edits() {
		e.Edits = append(e.Edits, strings.TrimSpace(strings.Join([]string{edit.Op, edit.Target, edit.Value}, " ")))
		inMessage = inMessage || strings.HasPrefix(edit.Op, "hdr_") || edit.Op == "body_write"
	}
	if inMessage {
		e.Message = strings.Split(strings.ReplaceAll(r.Message, "\r\n", "\n"), "\n")
	}
	if r.Envelope.Sender != r.Envelope.OriginalSender {
		e.Sender = string(r.Envelope.Sender)
	}
	e.To, e.Routes = recipients(r.Envelope)
	return e
}

func describe(c plugintest.Call) string {
	s := c.Phase.String()
	if c.Phase == mail.PhaseRcpt {
		s = fmt.Sprintf("rcpt %d", c.Recipient)
	}
	s += " " + c.Verdict.String()
	if c.Reply != nil {
		s += ": " + c.Reply.Line()
	}
	return s
}

func recipients(env *mail.Envelope) (to, routes []string) {
	changed, routed := false, false
	for _, r := range env.Recipients {
		address := string(r.Address)
		if r.Removed {
			address = "-"
		}
		to, routes = append(to, address), append(routes, r.Route+r.NextHop)
		changed = changed || !r.Removed && r.Address != r.Original
		routed = routed || r.Route+r.NextHop != ""
	}
	if !changed {
		to = nil
	}
	if !routed {
		routes = nil
	}
	return to, routes
}
