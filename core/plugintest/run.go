// SPDX-License-Identifier: Apache-2.0

package plugintest

import (
	"bytes"
	"context"
	"net/netip"
	"strings"
	"sync"

	"github.com/postroad-mail/postroad/core/internal/pipeline"
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
}

// Call is one call of the plugin.
type Call struct {
	Phase     mail.Phase
	Recipient int // index in phase rcpt, else 0
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
	Verdict  mail.Verdict // of the last call that decided: of the message, or of the sender in phase mail
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

// Run takes a message through the phases that the plugin asks for: mail, rcpt
// for each recipient, message. A refused sender, or no recipient left, ends it
// as in SMTP; so does a failure of the plugin.
func (p *Plugin) Run(m Message) *Result {
	p.t.Helper()
	tx := p.transaction(m)
	recipients := tx.env.Recipients
	tx.env.Recipients = nil
	if tx.call(mail.PhaseMail, 0).Final() {
		return tx.result()
	}
	for n := range recipients {
		tx.env.Recipients = append(tx.env.Recipients, recipients[n])
		if v := tx.call(mail.PhaseRcpt, n); v.Final() && v != mail.Accept {
			tx.env.Recipients[n].Removed = true
		}
	}
	if tx.env.Live() > 0 {
		tx.call(mail.PhaseMessage, 0)
	}
	return tx.result()
}

// transaction is a message on its way.
type transaction struct {
	p      *Plugin
	pipe   *pipeline.Pipeline
	env    *mail.Envelope
	header mail.Header
	body   mail.Body
	r      Result
}

func (p *Plugin) transaction(m Message) *transaction {
	head, body := split(m.EML)
	h := mail.ParseHeader(head)
	h.End()
	return &transaction{
		p: p, env: p.envelope(m), header: h, body: mail.BytesBody(body),
		pipe: pipeline.New(pipeline.Options{Name: "plugintest", NewBody: func() pipeline.BodyWriter { return &memoryBody{} }}),
	}
}

// split cuts a message into header section and body, both with CRLF.
func split(eml string) (head, body []byte) {
	if eml == "" {
		eml = "From: sender@example.org\nTo: rcpt@example.test\nSubject: Test\n\nHello.\n"
	}
	eml = strings.ReplaceAll(strings.ReplaceAll(eml, "\r\n", "\n"), "\n", "\r\n")
	if h, b, ok := strings.Cut(eml, "\r\n\r\n"); ok {
		return []byte(h + "\r\n\r\n"), []byte(b)
	}
	return []byte(eml), nil
}

func (p *Plugin) envelope(m Message) *mail.Envelope {
	e := &mail.Envelope{
		ID: "01PLUGINTEST", Received: p.clock.Now(), SMTPUTF8: m.SMTPUTF8, EightBit: m.EightBit,
		Sender: sender(m.From), Client: client(m.Client), Meta: map[string]string{},
	}
	e.OriginalSender, e.Client.Notes = e.Sender, p.session
	for k, v := range m.Meta {
		e.Meta[k] = v
	}
	to := m.To
	if len(to) == 0 {
		to = []string{"rcpt@example.test"}
	}
	for _, a := range to {
		e.Recipients = append(e.Recipients, mail.Recipient{Address: mail.Address(a), Original: mail.Address(a)})
	}
	return e
}

func sender(from string) mail.Address {
	switch from {
	case "":
		return "sender@example.org"
	case "<>":
		return ""
	}
	return mail.Address(from)
}

func client(c mail.Client) mail.Client {
	if !c.Addr.IsValid() {
		c.Addr = netip.MustParseAddrPort("192.0.2.1:50000")
	}
	if c.Helo == "" {
		c.Helo = "client.example.org"
	}
	if c.Listener == "" {
		c.Listener = "inbound"
	}
	if c.SessionID == "" {
		c.SessionID = "01SESSION"
	}
	return c
}

// call runs one phase, if the plugin asks for it and has not failed.
func (tx *transaction) call(phase mail.Phase, arg int) mail.Verdict {
	if tx.r.Err != nil || !tx.p.stage.Phases().Has(phase) {
		return mail.Continue
	}
	h := pipeline.NewHook(tx.pipe, tx.p.stage.Name(), phase, arg, tx.env, tx.seen(phase), tx.body)
	v, err := tx.p.stage.Run(context.Background(), h)
	c := Call{Phase: phase, Recipient: arg, Verdict: v, Reply: h.Reply(), Err: err}
	tx.p.account.fill(&c)
	if err == nil {
		c.Edits = edits(h)
		c.Err = h.Commit()
	}
	tx.r.Calls = append(tx.r.Calls, c)
	if c.Err != nil {
		h.Drop()
		tx.r.Err = c.Err
		return mail.Continue
	}
	tx.keep(h)
	if phase != mail.PhaseRcpt {
		tx.r.Verdict, tx.r.Reply = v, h.Reply()
	}
	return v
}

// seen is the header that a phase sees.
func (tx *transaction) seen(phase mail.Phase) mail.Header {
	if phase == mail.PhaseMessage {
		return tx.header
	}
	return mail.Header{}
}

func edits(h *pipeline.Hook) []Edit {
	var out []Edit
	for _, e := range h.Edits() {
		out = append(out, Edit(e))
	}
	return out
}

// keep takes over what a call has committed.
func (tx *transaction) keep(h *pipeline.Hook) {
	tx.env = h.Envelope()
	if h.Phase() == mail.PhaseMessage {
		tx.header = *h.Header()
	}
	if b := h.NewBody(); b != nil {
		tx.body = b
	}
}

func (tx *transaction) result() *Result {
	body := make([]byte, tx.body.Size())
	_, _ = tx.body.ReadAt(body, 0)
	tx.r.Envelope = tx.env
	tx.r.Message = string(append(tx.header.AppendTo(nil), body...))
	return &tx.r
}

// memoryBody is a body in the making.
type memoryBody struct{ bytes.Buffer }

// Finish implements pipeline.BodyWriter.
func (b *memoryBody) Finish() (mail.Body, error) { return mail.BytesBody(b.Bytes()), nil }

// Abort implements pipeline.BodyWriter.
func (b *memoryBody) Abort() {}

// account keeps what the host says of the latest call.
type account struct {
	mu   sync.Mutex
	last wasmhost.Call
}

// PluginCall implements wasmhost.Observer.
func (a *account) PluginCall(c wasmhost.Call) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.last = c
}

// PluginInstances implements wasmhost.Observer.
func (a *account) PluginInstances(string, int) {}

func (a *account) fill(c *Call) {
	a.mu.Lock()
	defer a.mu.Unlock()
	c.Fuel, c.HostCalls, c.Memory, c.Cause = a.last.Fuel, a.last.HostCalls, a.last.Memory, a.last.Cause
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
