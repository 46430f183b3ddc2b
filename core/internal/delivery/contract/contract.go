// SPDX-License-Identifier: Apache-2.0

// Package contract tests what delivery asks of a queue (delivery.Queue), on any
// engine: an engine is fit for Postroad when Run passes with it. core/relay runs
// it on every one that there is.
//
// The tests see a queue through that interface, a way to put mail in, and where
// the engine is durable a way to open it again.
package contract

import (
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/postroad-mail/postroad/core/internal/delivery"
	"github.com/postroad-mail/postroad/core/mail"
)

// Start is what the clock of a new Engine shows.
func Start() time.Time { return time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC) }

// Engine is a queue under test, empty and with a clock that stands still.
type Engine struct {
	Queue delivery.Queue

	// Enqueue takes responsibility for a message, as after a 250.
	Enqueue func(env *mail.Envelope, header, body []byte) error

	// Advance moves the clock.
	Advance func(time.Duration)

	// Restart ends the process without a word to the queue and starts another
	// one on the same data; Queue is the new one then. nil: the engine forgets
	// everything.
	Restart func()
}

// Run tests the engine that open makes anew for each test.
func Run(t *testing.T, open func(t *testing.T) *Engine) {
	for name, test := range map[string]func(*rig){
		"what came in is due, whole":               whole,
		"a lease holds until it is given back":     leases,
		"a returned recipient is due as before":    returned,
		"a postponed recipient waits":              postponed,
		"what is delivered is gone":                gone,
		"recipients are settled one by one":        oneByOne,
		"a deferred recipient comes back":          deferred,
		"what was not tried is no attempt":         untried,
		"a held recipient waits for somebody":      held,
		"a report is queued once":                  reports,
		"results for strangers change nothing":     strangers,
		"Due hands out no more than it is asked":   bounded,
		"Due keeps nothing back":                   nothingBack,
		"the first due of a campaign goes first":   order,
		"tenants take turns, and their campaigns":  turns,
		"a long list is leased in parts":           longList,
		"priority goes first and starves nobody":   priority,
		"NextDue tells what waits":                 nextDue,
		"Wake rings for new mail":                  wakes,
		"content can be read by many":              readers,
		"many at once lease each recipient once":   hammer,
		"a restart ends leases and loses nothing":  restart,
		"a restart keeps what became of attempts":  restartKeeps,
		"a restart brings back nothing that went":  restartGone,
		"a big message is as good as a small one":  big,
		"removed recipients are nobody's business": removed,
	} {
		t.Run(name, func(t *testing.T) { test(&rig{T: t, Engine: open(t), now: Start()}) })
	}
}

// rig is one test.
type rig struct {
	*testing.T
	*Engine
	now time.Time
	n   int
}

// wait moves the clock.
func (r *rig) wait(d time.Duration) {
	r.now = r.now.Add(d)
	r.Advance(d)
}

// put queues a message to some recipients and returns its id.
func (r *rig) put(to ...string) string { return r.putSize(100, to...) }

func (r *rig) putSize(octets int, to ...string) string {
	r.Helper()
	r.n++
	env := &mail.Envelope{ID: id(r.n), Sender: "from@sender.example", Received: r.now}
	for _, a := range to {
		env.Recipients = append(env.Recipients, mail.Recipient{Address: mail.Address(a), Original: mail.Address(a)})
	}
	if err := r.Enqueue(env, header(env.ID), body(env.ID, octets)); err != nil {
		r.Fatal(err)
	}
	return env.ID
}

// id makes ids that sort as they are made.
func id(n int) string { return fmt.Sprintf("01%024d", n) }

func header(id string) []byte { return []byte("Subject: " + id + "\r\n\r\n") }

func body(id string, octets int) []byte {
	b := make([]byte, octets)
	for i := range b {
		b[i] = id[(i+i/251)%len(id)]
	}
	return b
}

// due leases what is due, as id and recipients.
func (r *rig) due() map[string][]int {
	leased := map[string][]int{}
	for {
		leases := r.Queue.Due(r.now, 100)
		if len(leases) == 0 {
			return leased
		}
		for _, l := range leases {
			id := l.Message.Envelope().ID
			leased[id] = append(leased[id], l.Recipients...)
		}
	}
}

// one leases the only message that is due.
func (r *rig) one() delivery.Lease {
	r.Helper()
	leases := r.Queue.Due(r.now, 100)
	if len(leases) != 1 {
		r.Fatalf("%d messages are due, want 1", len(leases))
	}
	return leases[0]
}

// nothing checks that nothing is due.
func (r *rig) nothing(why string) {
	r.Helper()
	if due := r.due(); len(due) > 0 {
		r.Errorf("%s, and %v is due", why, due)
	}
}

// wants checks what is due.
func (r *rig) wants(id string, rcpts ...int) {
	r.Helper()
	if due := r.due(); len(due) != 1 || fmt.Sprint(due[id]) != fmt.Sprint(rcpts) {
		r.Errorf("%v is due, want recipients %v of %s", due, rcpts, id)
	}
}

func (r *rig) settle(results ...delivery.Result) {
	r.Helper()
	if err := r.Queue.Settle(r.Context(), results...); err != nil {
		r.Fatal(err)
	}
}

// delivered is success for some recipients.
func delivered(id string, rcpts ...int) delivery.Result {
	res := delivery.Result{Message: id}
	for _, i := range rcpts {
		res.Outcomes = append(res.Outcomes, delivery.Settled{Outcome: mail.Outcome{Recipient: i, Status: mail.Delivered, Reply: mail.Reply{Code: 250}}})
	}
	return res
}

// failed is a failure for good, with a report.
func failed(id string, rcpt int) delivery.Result {
	report := &delivery.Report{
		Envelope: &mail.Envelope{Recipients: []mail.Recipient{{Address: "from@sender.example", Original: "from@sender.example"}}},
		Header:   []byte("Subject: report\r\n\r\n"), Body: []byte("it failed\r\n"), Kind: mail.ActionFailed, Recipients: []int{rcpt},
	}
	return delivery.Result{Message: id, Reports: []*delivery.Report{report}, Outcomes: []delivery.Settled{{Outcome: mail.Outcome{
		Recipient: rcpt, Status: mail.Failed, Reply: mail.Reply{Code: 550, Enhanced: mail.Enhanced{5, 1, 1}, Text: "no such user"}}}}}
}

// later is a failure for now.
func later(id string, rcpt int, next time.Time) delivery.Result {
	return delivery.Result{Message: id, Outcomes: []delivery.Settled{{Next: next, Outcome: mail.Outcome{
		Recipient: rcpt, Reply: mail.Reply{Code: 451, Enhanced: mail.Enhanced{4, 7, 1}, Text: "not now"}, NextHop: "mx.example", Remote: true}}}}
}

// content reads a message.
func content(m delivery.Message) (string, error) {
	c, err := m.Open()
	if err != nil {
		return "", err
	}
	if c.Close != nil {
		defer c.Close()
	}
	p, err := io.ReadAll(io.NewSectionReader(c.Body, 0, c.Body.Size()))
	return string(c.Header) + string(p), err
}
