// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"fmt"
	"strings"
	"time"

	"github.com/postroad-mail/postroad/core/internal/admin"
	"github.com/postroad-mail/postroad/core/internal/delivery"
	"github.com/postroad-mail/postroad/core/internal/pipeline"
	"github.com/postroad-mail/postroad/core/internal/queue"
	"github.com/postroad-mail/postroad/core/internal/smtpin"
	"github.com/postroad-mail/postroad/core/internal/wasmhost"
	"github.com/postroad-mail/postroad/core/mail"
)

// The observers turn what happens in a room into figures and log lines. A
// message's id stands in each line about it, from accept to outcome.

type smtpObserver struct {
	r        *Relay
	listener string
}

// Connected implements smtpin.Observer.
func (o smtpObserver) Connected() { o.r.metrics.ConnectionOpened(o.listener) }

// Disconnected implements smtpin.Observer.
func (o smtpObserver) Disconnected() { o.r.metrics.ConnectionClosed(o.listener) }

// Command implements smtpin.Observer.
func (o smtpObserver) Command(string) {}

// Refused implements smtpin.Observer. What the backend refused is counted there.
func (o smtpObserver) Refused(reason string, _ int) {
	if reason != smtpin.ReasonBackend {
		o.r.metrics.Refused(o.listener, reason)
	}
}

// countRefusal counts what the relay refuses; faults are counted by smtpin.
func (r *Relay) countRefusal(listener, reason string, reply *mail.Reply) {
	if !smtpin.IsFault(reply) {
		r.metrics.Refused(listener, reason)
	}
}

// Panicked implements smtpin.Observer.
func (o smtpObserver) Panicked() { o.r.metrics.Fault("smtpin") }

type stageObserver struct{ r *Relay }

// StageDone implements pipeline.Observer.
func (o stageObserver) StageDone(e *mail.Envelope, stage string, p mail.Phase, v mail.Verdict, took time.Duration, err error) {
	o.r.metrics.StageDone(stage, p, v, took, pipeline.CauseOf(err))
	kind, id := "id", e.ID
	if id == "" { // there is no message yet
		kind, id = "session", e.Client.SessionID
	}
	switch {
	case pipeline.CauseOf(err) == "breaker": // that it is broken was said once
		o.r.log.Debug("stage is not called", kind, id, "stage", stage, "phase", p)
	case err != nil:
		o.r.log.Error("stage failed", kind, id, "stage", stage, "phase", p, "cause", pipeline.CauseOf(err), "error", err)
	case v != mail.Continue:
		o.r.log.Info("stage decided", kind, id, "stage", stage, "phase", p, "verdict", v, "took", took)
	case o.r.log.IsDebug():
		o.r.log.Debug("stage passed", kind, id, "stage", stage, "phase", p, "took", took)
	}
}

// compared tells what a candidate did beside its stage. In what they differ is
// full of addresses and of words of the message: it is for debug, and for
// `postroad stage diff`.
func (o stageObserver) compared(x *pipeline.Comparison, result string, differences []string) {
	o.r.metrics.CandidateDone(x.Stage, string(x.Mode), result)
	if result == "same" || result == "called" {
		return
	}
	kv := []any{"id", x.ID, "pipeline", x.Pipeline, "stage", x.Stage, "mode", x.Mode, "phase", x.Phase, "candidate", x.Candidate.Code}
	if o.r.log.IsDebug() {
		kv = append(kv, "differences", cut(strings.Join(differences, "; ")))
	}
	o.r.log.Info("candidate "+result, kv...)
}

// broken tells of a breaker.
func (o stageObserver) broken(stage string, open bool) {
	o.r.metrics.StageBroken(stage, open)
	if open {
		o.r.log.Error("stage is broken: on_error is applied without calling it, until a probe succeeds", "stage", stage)
		return
	}
	o.r.log.Info("stage works again", "stage", stage)
}

// PluginCall implements wasmhost.Observer.
func (o stageObserver) PluginCall(c wasmhost.Call) { o.r.metrics.PluginCall(c.Stage, c.Fuel, c.Memory) }

// PluginInstances implements wasmhost.Observer.
func (o stageObserver) PluginInstances(stage string, n int) { o.r.metrics.PluginInstances(stage, n) }

type queueObserver struct{ r *Relay }

// QueueEvent implements queue.Observer.
func (o queueObserver) QueueEvent(e queue.Event) {
	kv := []any{"event", e.Kind, "id", e.ID, "recipients", e.Recipients}
	if e.Hold != nil {
		kv = append(kv, "hold", e.Hold.Kind, "by", e.Hold.By, "reason", e.Hold.Reason)
	}
	if e.Reason != "" {
		kv = append(kv, "error", e.Reason)
	}
	o.r.log.Info("queue", kv...)
}

type deliveryObserver struct{ r *Relay }

// Settled implements delivery.Observer; delivery logs it itself.
func (o deliveryObserver) Settled(_ *mail.Envelope, route string, s delivery.Settled, _ time.Duration) {
	o.r.metrics.Outcome(route, s.State())
}

// InFlight implements delivery.Observer.
func (o deliveryObserver) InFlight(route string, n int) {
	if n > 0 {
		o.r.metrics.Attempt(route)
	}
}

// Connected implements delivery.Observer.
func (o deliveryObserver) Connected(route string, err error) {
	if err != nil {
		o.r.log.Debug("next hop not reached", "route", route, "error", err)
	}
}

// Panicked implements delivery.Observer.
func (o deliveryObserver) Panicked() { o.r.metrics.Fault("delivery") }

// queueSize and syncs are read at each scrape of the figures.
func (r *Relay) queueSize() []admin.QueueState {
	e := r.engine.Load()
	if e == nil {
		return nil
	}
	s := e.queue.Stats()
	state := func(name string, c queue.Count) admin.QueueState {
		return admin.QueueState{State: name, Messages: c.Messages, Recipients: c.Recipients, Bytes: c.Bytes}
	}
	return []admin.QueueState{state("ready", s.Ready), state("deferred", s.Deferred), state("held", s.Held), state("quarantined", s.Quarantined)}
}

// reading returns how many messages of the queue were read since the start, and
// whether there may be more.
func (r *Relay) reading() (messages int, going bool) {
	if e := r.engine.Load(); e != nil {
		return e.queue.Reading()
	}
	return 0, false
}

// readingState says for people that the queue is still being read; empty when it
// is not.
func (r *Relay) readingState() string {
	if n, going := r.reading(); going {
		return fmt.Sprintf("still being read after the start, %d messages so far", n)
	}
	return ""
}

func (r *Relay) syncs() uint64 {
	if e := r.engine.Load(); e != nil {
		return uint64(e.queue.Syncs())
	}
	return 0
}

func (r *Relay) logAccepted(m *pipeline.Message, t *transaction, size int64, took time.Duration) {
	first := t.tx.Envelope().ID
	kv := withVia(t.client, "id", m.Envelope.ID, "session", t.client.SessionID, "peer", t.client.Addr, "listener", t.l.Name,
		"recipients", m.Envelope.Live(), "size", size, "stages", t.stages(), "took", took)
	if m.Envelope.ID != first {
		kv = append(kv, "split_from", first)
	}
	if m.Hold != nil {
		kv = append(kv, "hold", m.Hold.Verdict, "stage", m.Hold.Stage, "reason", m.Hold.Reason)
	}
	r.log.Info("accepted", kv...)
}
