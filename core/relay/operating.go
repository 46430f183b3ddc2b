// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"context"
	"io"
	"time"

	"github.com/postroad-mail/postroad/core/internal/control"
	"github.com/postroad-mail/postroad/core/internal/queue"
	"github.com/postroad-mail/postroad/core/mail"
)

// The verbs of a QueueAction.
const (
	VerbRetry   = queue.Retry     // try now; what is held or suspended stays so
	VerbHold    = queue.PutOnHold // keep back until a release, or for a while
	VerbRelease = queue.Release   // end a hold or a quarantine
	VerbBounce  = verbBounce      // fail now, with the report that the sender is due
	VerbDrop    = queue.Drop      // delete, and tell nobody
	VerbReroute = queue.Reroute   // send by another route, at once
)

// Operator does with the queue what `postroad queue` does, by the same code and
// with the same lines in the log. It is safe for concurrent use, for as long as
// its relay is open.
type Operator struct {
	o    operator
	name string
}

// Operator returns one who acts under that name, which is logged and shown.
func (r *Relay) Operator(name string) *Operator { return &Operator{operator{r}, name} }

// QueueAction is something to do with messages: with those of IDs, or with those
// that Select matches. By ids it is done at once, and an id that is not there
// means that nothing is done. By a selector, nothing is done without Yes: the
// answer says what is meant. Retry, Bounce, Drop and Reroute are for the
// recipients that match, Hold and Release for messages with such a recipient.
type QueueAction struct {
	Verb   string
	IDs    []string
	GoneOK bool                // one of IDs that is not there is left out
	Select *mail.QueueSelector // &mail.QueueSelector{} is everything
	Yes    bool
	Reason string        // needed by Hold, Bounce, Drop and Reroute
	For    time.Duration // of Hold: ends then; 0: when somebody releases it
	Reply  string        // of Bounce: "550 5.7.1 text", or the text alone; empty: ours
	Route  string        // of Reroute
}

// QueueDone is what was done or, of a dry run, what would be.
type QueueDone struct {
	Messages   int
	Recipients int
	Octets     int64
	Did        bool              // false: nothing was done
	Busy       int               // recipients that Bounce left out, for they were being tried
	First      []mail.QueueEntry // the first few of a dry run
	Suspension *mail.Suspension  // that Suspend made
}

// QueueSuspension keeps back what is queued and what comes: by tenant, campaign,
// domain and route of Select, of which one at least is set. Without Yes it says
// only what is meant of what is queued now.
type QueueSuspension struct {
	Select mail.QueueSelector
	For    time.Duration
	Yes    bool
	Reason string
}

// QueueResume ends suspensions: those of IDs at once, or with Yes those that name
// what is set in Select.
type QueueResume struct {
	IDs    []string
	Select *mail.QueueSelector // &mail.QueueSelector{} is all
	Yes    bool
}

// QueueExport names messages to export. With Remove they are held until they are
// dropped, which the caller does once the export is durable where he wants it;
// those that are being tried are left out.
type QueueExport struct {
	IDs    []string
	Select *mail.QueueSelector
	Remove bool
}

// QueueImported is what an import has queued, durably, or would.
type QueueImported struct {
	Messages   int
	Recipients int
	Octets     int64
	Did        bool
	Refused    []string // ids that are in the queue already
}

// List returns messages, oldest first; of each recipient it says why it is still
// there, and until when.
func (p *Operator) List(ctx context.Context, f QueueFilter) ([]mail.QueueEntry, error) {
	return p.o.List(ctx, control.Filter(f))
}

// Explain returns one message with its header and, of each recipient, why it is
// still there and until when.
func (p *Operator) Explain(ctx context.Context, id string) (mail.QueueEntry, error) {
	return p.o.Show(ctx, id)
}

// Act does something with messages. It returns after the sync.
func (p *Operator) Act(ctx context.Context, a QueueAction) (QueueDone, error) {
	d, err := p.o.Act(ctx, control.Action{Verb: a.Verb, IDs: a.IDs, GoneOK: a.GoneOK, Select: a.Select, Yes: a.Yes,
		By: p.name, Reason: a.Reason, For: a.For, Reply: a.Reply, To: a.Route})
	return QueueDone(d), err
}

// Suspend makes a suspension. It outlives restarts.
func (p *Operator) Suspend(ctx context.Context, s QueueSuspension) (QueueDone, error) {
	d, err := p.o.Suspend(ctx, control.SuspendAction{Select: s.Select, For: s.For, Yes: s.Yes, By: p.name, Reason: s.Reason})
	return QueueDone(d), err
}

// Resume ends suspensions and returns them, or those that are meant.
func (p *Operator) Resume(ctx context.Context, r QueueResume) ([]mail.Suspension, error) {
	return p.o.Resume(ctx, control.ResumeAction{IDs: r.IDs, Select: r.Select, Yes: r.Yes, By: p.name})
}

// Suspensions returns the suspensions that are not over, the oldest first.
func (p *Operator) Suspensions(ctx context.Context) ([]mail.Suspension, error) {
	return p.o.Suspensions(ctx)
}

// Export writes messages to w, in the form that core/docs/operate.md describes.
func (p *Operator) Export(ctx context.Context, x QueueExport, w io.Writer) error {
	return p.o.Export(ctx, control.ExportAction{IDs: x.IDs, Select: x.Select, Remove: x.Remove, By: p.name}, w)
}

// Import queues the messages of an export with their ids, after it has checked
// all of it. Without yes it says only what is in it.
func (p *Operator) Import(ctx context.Context, yes bool, r io.Reader) (QueueImported, error) {
	i, err := p.o.Import(ctx, control.ImportAction{Yes: yes, By: p.name}, r)
	return QueueImported(i), err
}

// Backup is Relay.Backup.
func (p *Operator) Backup(ctx context.Context, dir string) error { return p.o.Backup(ctx, dir) }
