// SPDX-License-Identifier: Apache-2.0

package plugintest

import (
	"context"
	"strings"
	"sync"

	"github.com/postroad-mail/postroad/core/internal/fixture"
	"github.com/postroad-mail/postroad/core/internal/wasmhost"
	"github.com/postroad-mail/postroad/core/mail"
)

// Message is what a client hands over. Empty fields get a plain value.
type Message struct {
	From   string   // reverse-path; "<>" is the null sender, empty is sender@example.org
	To     []string // forward-paths; empty is rcpt@example.test
	EML    string   // header, empty line, body; LF line ends become CRLF; empty is a short text
	Client mail.Client
	Meta   map[string]string // notes of stages before, "stage.key"

	SMTPUTF8, EightBit bool

	Password string   // that an authenticated client gave
	Delivery *Attempt // an attempt to deliver it follows, when it was taken
}

// Attempt is a delivery attempt.
type Attempt = fixture.Attempt

// Outcome is what became of a recipient in an attempt.
type Outcome = fixture.Outcome

// Call is one call of the plugin.
type Call struct {
	Phase     mail.Phase
	Recipient int // index in the phases rcpt, route and bounce; the argument of the others
	Verdict   mail.Verdict
	Reply     *mail.Reply // as the plugin set it, nil if it did not
	Edits     []Edit      // its journal, in order
	Fuel      int64
	HostCalls int
	Memory    int64  // octets
	Err       error  // the plugin failed: its edits are dropped
	Cause     string // of the failure: "fuel", "deadline", "depth", "memory", "trap", "exit", "verdict", "error"
}

// Edit is an entry of the journal.
type Edit struct {
	Op     string // as the ABI spells it: hdr_add, rcpt_set, sender_set, …
	Target string // header name, recipient index, note
	Value  string
}

// Result is what became of a message.
type Result struct {
	Calls    []Call
	Verdict  mail.Verdict // of the last call that decided about the whole message
	Reply    *mail.Reply  // with Verdict; nil means the usual one
	Err      error        // the first failure, after which nothing more was called
	Envelope *mail.Envelope
	Message  string // header and body after the edits
}

// Header returns the value of the first field of that name in Message.
func (r *Result) Header(name string) (string, bool) {
	h := mail.ParseHeader([]byte(r.Message))
	return h.Get(name)
}

// Edits returns the edits of all calls.
func (r *Result) Edits() []Edit {
	var all []Edit
	for _, c := range r.Calls {
		all = append(all, c.Edits...)
	}
	return all
}

// Run takes a message through the phases that the plugin asks for, in a pipeline
// of its own: those of the connection when the client is another than before, of
// the transaction, and with Delivery those of an attempt. A refusal ends it as in
// SMTP; so does a failure of the plugin.
func (p *Plugin) Run(m Message) *Result {
	p.t.Helper()
	p.account.calls = nil
	return p.result(p.runner.Run(context.Background(), m.fixture()))
}

// Tick calls the plugin in phase tick.
func (p *Plugin) Tick() *Result {
	p.t.Helper()
	p.account.calls = nil
	return p.result(p.runner.Run(context.Background(), &fixture.Message{Tick: true}))
}

// fixture returns the message as the runner takes it.
func (m *Message) fixture() *fixture.Message {
	client := m.Client
	return &fixture.Message{
		From: m.From, To: m.To, EML: fixture.Lines{m.EML}, Meta: m.Meta, SMTPUTF8: m.SMTPUTF8, Plain: !m.EightBit,
		Facts: &client, Password: m.Password, Delivery: m.Delivery,
	}
}

func (p *Plugin) result(r *fixture.Result) *Result {
	out := &Result{Err: r.Err, Envelope: r.Envelope, Message: r.Message(), Calls: p.account.calls}
	for n := range out.Calls {
		c, of := &out.Calls[n], &r.Calls[n]
		c.Phase, c.Recipient, c.Verdict, c.Reply, c.Err = of.Phase, of.Arg, of.Verdict, of.Reply, of.Err
		for _, e := range of.Edits {
			c.Edits = append(c.Edits, Edit(e))
		}
		if decides(c.Phase) && c.Err == nil {
			out.Verdict, out.Reply = c.Verdict, c.Reply
		}
	}
	return out
}

// decides tells whether a verdict in that phase is about the whole message.
func decides(p mail.Phase) bool { return p <= mail.PhaseMessage && p != mail.PhaseRcpt }

// account keeps what the host says of the calls.
type account struct {
	mu    sync.Mutex
	last  wasmhost.Call
	calls []Call // of the message at hand
}

// PluginCall implements wasmhost.Observer.
func (a *account) PluginCall(c wasmhost.Call) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.last = c
}

// PluginInstances implements wasmhost.Observer.
func (a *account) PluginInstances(string, int) {}

// note adds a call that has just ended.
func (a *account) note(*fixture.Call) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.calls = append(a.calls, Call{Fuel: a.last.Fuel, HostCalls: a.last.HostCalls, Memory: a.last.Memory, Cause: a.last.Cause})
}

// log collects log lines.
type log struct {
	mu sync.Mutex
	b  strings.Builder
}

// Write implements io.Writer.
func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// String returns all lines.
func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
