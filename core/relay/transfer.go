// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/postroad-mail/postroad/core/internal/control"
	"github.com/postroad-mail/postroad/core/internal/export"
	"github.com/postroad-mail/postroad/core/internal/queue"
	"github.com/postroad-mail/postroad/core/mail"
)

// movingTime is how long messages are held that are exported to be removed. If
// whoever moves them goes away, they are delivered from here after all.
const movingTime = 6 * time.Hour

// movingBy is who holds them. Such a hold is not exported.
const movingBy = "export"

// Export implements control.Service.
func (o operator) Export(ctx context.Context, a control.ExportAction, w io.Writer) error {
	e, err := o.engine()
	if err != nil {
		return err
	}
	if (a.Select == nil) == (len(a.IDs) == 0) {
		return errors.New("export: name ids, or a selector")
	}
	ids := a.IDs
	if a.Select != nil {
		var f queue.Filter
		if f, err = o.filter(e, a.Select); err != nil {
			return err
		}
		ids, _, err = e.queue.Select(ctx, f)
	} else {
		err = e.queue.Check(ctx, ids)
	}
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	var held []string
	if a.Remove {
		if held, err = o.keepBack(ctx, e, ids); err != nil {
			return err
		}
	}
	n, left, err := exportThose(ctx, e, ids, a.Remove, w)
	if err != nil {
		left = held // nobody will remove them
	}
	err = errors.Join(err, letGo(ctx, e, left))
	o.r.log.Info("operator", "operator", a.By, "verb", "export", "selector", inWords(a.Select), "remove", a.Remove, "messages", n, "error", err)
	return err
}

// keepBack holds messages that are about to move to another machine. Those that
// are held already stay as they are.
func (o operator) keepBack(ctx context.Context, e *engine, ids []string) (free []string, err error) {
	for _, id := range ids {
		if m, err := e.queue.Show(ctx, id); err == nil && m.Hold == nil {
			free = append(free, id)
		}
	}
	h := queue.Hold{Kind: queue.OnHold, By: movingBy, Reason: "being moved to another machine", Until: o.r.clock.Now().Add(movingTime)}
	_, err = e.queue.Change(ctx, queue.Change{Verb: queue.PutOnHold, Hold: h}, free)
	e.sched.Recall(free...)
	return free, err
}

// letGo ends the holds of keepBack on messages that do not move after all. Other
// holds stay.
func letGo(ctx context.Context, e *engine, ids []string) error {
	ids = slices.DeleteFunc(slices.Clone(ids), func(id string) bool {
		m, err := e.queue.Show(context.WithoutCancel(ctx), id)
		return err != nil || m.Hold == nil || m.Hold.By != movingBy
	})
	_, err := e.queue.Change(context.WithoutCancel(ctx), queue.Change{Verb: queue.Release}, ids)
	return err
}

// exportThose writes messages and returns how many. Those that are gone are left
// out; to remove, also those that are being tried, which it returns.
func exportThose(ctx context.Context, e *engine, ids []string, remove bool, w io.Writer) (n int, left []string, err error) {
	x, err := export.NewWriter(w)
	if err != nil {
		return 0, nil, err
	}
	for _, id := range ids {
		if err := ctx.Err(); err != nil {
			return n, left, err
		}
		m, err := e.queue.Show(ctx, id)
		switch {
		case errors.Is(err, queue.ErrNotFound):
			continue
		case err == nil && remove && leased(m):
			left = append(left, id)
			continue
		case err == nil:
			err = exportOne(x, m)
		}
		if err != nil {
			return n, left, fmt.Errorf("export of message %s: %w", id, err)
		}
		n++
	}
	return n, left, x.Close()
}

func leased(m *queue.Queued) bool {
	for i := range m.States {
		if m.States[i].Leased {
			return true
		}
	}
	return false
}

func exportOne(x *export.Writer, m *queue.Queued) error {
	c, err := m.Open()
	if err != nil {
		return err
	}
	defer c.Close()
	meta := &export.Meta{Envelope: m.Envelope}
	for i := range m.States {
		s := &m.States[i]
		s.Last.Reply.Cause = nil
		meta.States = append(meta.States, export.State{Status: s.Status, Attempts: s.Attempts, Next: s.Next, FirstTry: s.FirstTry, Last: s.Last, Held: s.Held, Warned: s.Warned, WarnedAt: s.WarnedAt})
	}
	if h := m.Hold; h != nil && h.By != movingBy {
		meta.Hold = &export.Hold{Kind: h.Kind, Reason: h.Reason, By: h.By, Until: h.Until}
	}
	return x.Add(meta, c.Header, c.Body)
}

// Batches of an import: each is synced whole.
const (
	importMessages = 64
	importOctets   = 16 << 20
)

// importing is one import.
type importing struct {
	r     *Relay
	yes   bool
	done  control.Imported
	seen  map[string]bool
	batch []*queue.Message
	size  int64
}

// Import implements control.Service. Batches that were queued before an error
// stay: whoever imports the same again is told that they are there.
func (o operator) Import(ctx context.Context, a control.ImportAction, r io.Reader) (control.Imported, error) {
	i := &importing{r: o.r, yes: a.Yes, seen: map[string]bool{}, done: control.Imported{Did: a.Yes}}
	err := i.all(ctx, r)
	for _, m := range i.batch {
		release(m.Body)
	}
	o.r.log.Info("operator", "operator", a.By, "verb", "import", "dry", !a.Yes, "messages", i.done.Messages,
		"recipients", i.done.Recipients, "octets", i.done.Octets, "refused", len(i.done.Refused), "error", err)
	return i.done, err
}

func (i *importing) all(ctx context.Context, r io.Reader) error {
	x, err := export.NewReader(r)
	if err != nil {
		return err
	}
	for {
		m, err := x.Next()
		if err == io.EOF {
			return i.flush(ctx)
		}
		if err == nil {
			err = i.take(ctx, m)
		}
		if err != nil {
			return err
		}
	}
}

// take reads one message, whose checksum is right once its body has been read.
func (i *importing) take(ctx context.Context, m *export.Message) error {
	e, err := i.r.live()
	if err != nil {
		return err
	}
	id := m.Envelope.ID
	there, err := queued(ctx, e, id)
	if err != nil {
		return err
	}
	if i.seen[id] || there {
		if len(i.done.Refused) < control.MaxList {
			i.done.Refused = append(i.done.Refused, id)
		}
		return nil
	}
	i.seen[id] = true
	q, err := imported(m, i.r.clock.Now())
	if err != nil {
		return fmt.Errorf("message %q: %w", id, err)
	}
	if !i.yes {
		if _, err := io.Copy(&strict{w: io.Discard, binary: m.Envelope.Binary}, m.Body); err != nil {
			return err
		}
		i.count(q, m.Size)
		return nil
	}
	return i.add(ctx, q, m)
}

// queued reports whether there is such a message.
func queued(ctx context.Context, e *engine, id string) (bool, error) {
	err := e.queue.Check(ctx, []string{id})
	if errors.Is(err, queue.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// add spools the body and queues a batch that is full.
func (i *importing) add(ctx context.Context, q *queue.Message, m *export.Message) error {
	w := i.r.newBody()
	if _, err := io.Copy(&strict{w: w, binary: m.Envelope.Binary}, m.Body); err != nil {
		w.Abort()
		return err
	}
	body, err := w.Finish()
	if err != nil {
		return err
	}
	q.Body = body
	i.batch = append(i.batch, q)
	if i.size += int64(len(q.Header)) + m.Size; len(i.batch) < importMessages && i.size < importOctets {
		return nil
	}
	return i.flush(ctx)
}

func (i *importing) count(q *queue.Message, body int64) {
	i.done.Messages++
	i.done.Recipients += q.Envelope.Live()
	i.done.Octets += int64(len(q.Header)) + body
}

// flush queues the batch; it is durable then.
func (i *importing) flush(ctx context.Context) error {
	if len(i.batch) == 0 {
		return nil
	}
	sizes := make([]int64, len(i.batch))
	for n, q := range i.batch {
		sizes[n] = q.Body.Size()
	}
	if err := i.r.enqueue(ctx, i.batch); err != nil {
		return err
	}
	for n, q := range i.batch {
		i.count(q, sizes[n])
	}
	i.batch, i.size = nil, 0
	return nil
}

// imported is a message of an export as the queue takes it. An export is an
// operator's, and still nothing of it may become a line of its own in a protocol.
func imported(m *export.Message, now time.Time) (*queue.Message, error) {
	if err := errors.Join(queue.CheckID(m.Envelope.ID), checkEnvelope(m.Envelope)); err != nil {
		return nil, err
	}
	if _, err := (&strict{w: io.Discard}).Write(m.Header); err != nil || !headerEnds(m.Header) {
		return nil, errors.New("its header is not made of lines that end in CRLF")
	}
	m.Envelope.Client.Notes = nil
	q := &queue.Message{Envelope: m.Envelope, Header: m.Header}
	for _, s := range m.States {
		if s.Status > mail.Failed {
			return nil, fmt.Errorf("status %d", s.Status)
		}
		if s.Status == mail.Deferred && s.Next.IsZero() && !s.Held {
			s.Next = now
		}
		q.States = append(q.States, queue.State{Status: s.Status, Attempts: min(max(s.Attempts, 0), 1<<16-1), Next: s.Next, FirstTry: s.FirstTry, Last: s.Last, Held: s.Held,
			Warned: s.Warned, WarnedAt: s.WarnedAt})
	}
	if h := m.Hold; h != nil {
		q.Hold = &queue.Hold{Kind: h.Kind, Reason: h.Reason, By: h.By, Until: h.Until}
	}
	return q, nil
}

func headerEnds(h []byte) bool { return len(h) == 0 || bytes.HasSuffix(h, []byte("\r\n")) }

func checkEnvelope(e *mail.Envelope) error {
	if e.Sender != "" {
		if _, err := mail.ParseAddress(string(e.Sender), true); err != nil {
			return fmt.Errorf("sender: %w", err)
		}
	}
	if e.Priority < -mail.MaxPriority || e.Priority > mail.MaxPriority {
		return fmt.Errorf("priority %d is not from %d to %d", e.Priority, -mail.MaxPriority, mail.MaxPriority)
	}
	texts := []string{string(e.OriginalSender), e.Params, e.Tenant, e.Campaign, e.Client.Helo, e.Client.Name, e.Client.Protocol}
	for i := range e.Recipients {
		r := &e.Recipients[i]
		if _, err := mail.ParseAddress(string(r.Address), true); err != nil {
			return fmt.Errorf("recipient %d: %w", i, err)
		}
		texts = append(texts, string(r.Original), r.Route, r.NextHop, r.Params)
	}
	for _, s := range texts {
		if strings.ContainsAny(s, "\r\n\x00") {
			return fmt.Errorf("a line end in %q", s)
		}
	}
	return nil
}

// strict passes on what consists of lines that end in CRLF, without a CR or LF
// elsewhere: those would let somebody smuggle mail out. A binary body is no lines, and
// never leaves as if it were.
type strict struct {
	w      io.Writer
	cr     bool // the last octet was CR
	binary bool
}

// Write implements io.Writer.
func (s *strict) Write(p []byte) (int, error) {
	for _, c := range p {
		if s.binary {
			break
		}
		if (c == '\n') != s.cr {
			return 0, errors.New("a CR or LF stands alone")
		}
		s.cr = c == '\r'
	}
	return s.w.Write(p)
}
