// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/postroad-mail/postroad/core/internal/pipeline"
	"github.com/postroad-mail/postroad/core/mail"
)

// everywhere is a stage of all phases that writes down how it was called.
type everywhere struct {
	calls []string
	ended int
}

func (e *everywhere) note(m Message, phase mail.Phase, args ...any) {
	line := fmt.Sprintln(append([]any{m.StageName(), phase}, args...)...)
	e.calls = append(e.calls, strings.TrimSpace(line))
}

func (e *everywhere) Phases() []mail.Phase { return mail.AllPhases() }

func (e *everywhere) End() { e.ended++ }

func (e *everywhere) Mail(_ context.Context, m Message) (mail.Verdict, error) {
	e.note(m, mail.PhaseMail, m.Envelope().Sender)
	m.Slot(0).Value = e
	return mail.Continue, nil
}

func (e *everywhere) Rcpt(_ context.Context, m Message, r int) (mail.Verdict, error) {
	e.note(m, mail.PhaseRcpt, r)
	return mail.Continue, nil
}

func (e *everywhere) Message(_ context.Context, m Message) (mail.Verdict, error) {
	parts, err := m.MIME()
	e.note(m, mail.PhaseMessage, parts)
	return mail.Continue, err
}

func (e *everywhere) Phase(_ context.Context, p mail.Phase, arg int, m Message) (mail.Verdict, error) {
	switch p {
	case mail.PhaseConnect:
		e.note(m, p, arg, m.Envelope().Client.Listener)
		m.Slot(1).Value = e
	case mail.PhaseHelo:
		err := m.SetEHLO(1, "XTEST on")
		e.note(m, p, arg, m.EHLO(), err)
	case mail.PhaseAuth:
		password, ok := m.Password()
		e.note(m, p, arg, string(password), ok)
	case mail.PhaseBody:
		e.note(m, p, arg, m.ChunkOffset(), string(m.Chunk()))
	case mail.PhaseTick:
		e.note(m, p, arg, m.Dry(), m.Slot(0), m.Delivery())
	default:
		if d := m.Delivery(); d != nil {
			e.note(m, p, arg, *d)
			break
		}
		e.note(m, p, arg, m.Header().Len())
	}
	return mail.Continue, nil
}

func TestANativeStageIsCalledInAllItsPhases(t *testing.T) {
	e := &everywhere{}
	p := pipeline.New(pipeline.Options{Name: "p", Steps: []pipeline.Step{{Name: "s", Stage: newNativeStage(e)}}})
	ctx := t.Context()
	s := p.Session(&mail.Client{Listener: "mx"})
	s.Connect(ctx)
	s.TLS(ctx)
	s.Helo(ctx, []string{"SIZE"})
	s.Auth(ctx, []byte("secret"))
	tx := s.Begin(&mail.Envelope{ID: "01", Sender: "s@a.test"})
	tx.Mail(ctx)
	tx.Rcpt(ctx, mail.Recipient{Address: "r@b.test"})
	tx.Data(ctx)
	tx.Headers(ctx, mail.ParseHeader([]byte("Subject: x\r\n\r\n")), -1)
	tx.Body(ctx, []byte("hi"), 7)
	r := tx.Message(ctx, mail.Header{}, mail.BytesBody("hi"), -1, "")
	tx.Queued(ctx, r.Messages[0])
	tx.Close()
	s.Close()
	deliver(ctx, p, r.Messages[0])
	p.Tick(ctx, "s")
	want := []string{
		"s connect 0 mx", "s tls 0 0", "s helo 0 [SIZE XTEST on] <nil>", "s auth 0 secret true", "s mail s@a.test", "s rcpt 0", "s data 0 0",
		"s headers 0 1", "s body 2 7 hi", "s message [{text/plain -1 0    7bit 2}]", "s queued 0 1", "s reset 0 0",
		"s route 0 {mx host 2 map[] map[]}", "s predeliver 2 {mx host 2 map[] map[]}", "s result 2 {mx host 2 map[0:{0 failed {0 0.0.0  <nil>}    false false false}] map[]}",
		"s bounce 0 {mx host 2 map[0:{0 failed {0 0.0.0  <nil>}    false false false}] map[]}", "s tick 0 false <nil> <nil>",
	}
	if e.ended != 2 {
		t.Errorf("%d of 2 values were ended", e.ended)
	}
	if !slices.Equal(e.calls, want) {
		t.Errorf("calls\n%q\nwant\n%q", e.calls, want)
	}
}

func deliver(ctx context.Context, p *pipeline.Pipeline, m *pipeline.Message) {
	o := p.Outbound(m.Envelope, m.Header, m.Body)
	defer o.Close()
	d := pipeline.Delivery{Route: "mx", NextHop: "host", Attempt: 2}
	o.Route(ctx, 0, d)
	o.Predeliver(ctx, d, []int{0})
	d.Outcomes = map[int]mail.Outcome{0: {Status: mail.Failed}}
	o.Result(ctx, d)
	o.Bounce(ctx, 0, d)
}
