// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/postroad-mail/postroad/core/internal/config"
	"github.com/postroad-mail/postroad/core/mail"
)

// ticker calls the stages of the live generation in phase tick, each at the
// interval that its plugin is granted, and never two at a time for one stage. A
// call that is late is left out, not made up for. It is stopped, and waited for,
// before another generation's begins.
type ticker struct {
	r      *Relay
	g      *generation
	ctx    context.Context
	cancel context.CancelFunc
	all    sync.WaitGroup // a goroutine for each stage

	mu   sync.Mutex
	due  map[string]time.Time // by stageKey
	busy int                  // stages that are being called, or are about to be
	idle []chan struct{}      // who waits for none
}

// ticking is one stage that is called.
type ticking struct {
	pipeline, stage string
	every           time.Duration
}

// retick starts the ticks of the live generation in place of those of another.
// A stage's next turn stays when it was, so that reloads in short order do not
// keep it from coming. Relay.reloadMu is held.
func (r *Relay) retick() {
	due := r.stopTicks()
	g := r.gen.Load()
	t := &ticker{r: r, g: g, due: map[string]time.Time{}}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	now := r.clock.Now()
	for _, s := range g.ticking() {
		key := stageKey(s.pipeline, s.stage)
		at := now.Add(s.every)
		if was, ok := due[key]; ok && was.Before(at) {
			at = was
		}
		t.due[key] = at
		t.start(s, at)
	}
	r.ticks.Store(t)
}

// stopTicks ends the ticks and waits for the calls that are under way. It returns
// when the next ones would have been.
func (r *Relay) stopTicks() map[string]time.Time {
	t := r.ticks.Swap(nil)
	if t == nil {
		return nil
	}
	t.cancel()
	t.all.Wait()
	return maps.Clone(t.due)
}

// ticking returns the stages that are to be called. A candidate is not, unless
// it was promoted.
func (g *generation) ticking() []ticking {
	var out []ticking
	for i := range g.config.Pipelines {
		p := &g.config.Pipelines[i]
		for j := range p.Stages {
			if every := g.tickOf(p.Name, j, &p.Stages[j]); every > 0 {
				out = append(out, ticking{p.Name, p.Stages[j].Name, every})
			}
		}
	}
	return out
}

// tickOf returns the interval of a stage, 0 for one that is not called.
func (g *generation) tickOf(pipeline string, place int, c *config.Stage) time.Duration {
	at := &g.chains[pipeline].steps[place]
	step := at.decided()
	if !step.Stage.Phases().Has(mail.PhaseTick) {
		return 0
	}
	if at.rollout != nil && at.rollout.Mode() == statePromoted {
		return g.plugin(c.Candidate.Plugin).Grant.Tick
	}
	return g.plugin(c.Plugin).Grant.Tick
}

// start waits for a stage's turns until the ticker is stopped.
func (t *ticker) start(s ticking, at time.Time) {
	turn := make(chan struct{}, 1)
	stop := t.arm(at, turn)
	t.all.Go(func() {
		for {
			select {
			case <-turn:
			case <-t.ctx.Done():
				if !stop() {
					t.rest()
				}
				return
			}
			t.call(s)
			at = t.after(s, at)
			stop = t.arm(at, turn)
			t.rest()
		}
	})
}

// arm has the clock call a stage's turn. The turn counts as work from then on,
// until rest.
func (t *ticker) arm(at time.Time, turn chan<- struct{}) (stop func() bool) {
	return t.r.clock.AfterFunc(max(at.Sub(t.r.clock.Now()), 0), func() {
		t.mu.Lock()
		t.busy++
		t.mu.Unlock()
		turn <- struct{}{}
	})
}

// after returns the turn behind that at a time.
func (t *ticker) after(s ticking, at time.Time) time.Time {
	next, now := at.Add(s.every), t.r.clock.Now()
	if !next.After(now) {
		next = now.Add(s.every)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.due[stageKey(s.pipeline, s.stage)] = next
	return next
}

// call calls a stage and queues what it emitted.
func (t *ticker) call(s ticking) {
	defer func() {
		if v := recover(); v != nil {
			t.r.log.Error("panic in a tick", "stage", s.stage, "panic", v)
			t.r.metrics.Fault("tick")
		}
	}()
	es := t.g.pipeline(s.pipeline).Tick(t.ctx, s.stage)
	t.r.emit(context.Background(), es, origin{})
}

// rest notes that a turn is over.
func (t *ticker) rest() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.busy--; t.busy > 0 {
		return
	}
	for _, ch := range t.idle {
		close(ch)
	}
	t.idle = nil
}

// wait waits until no stage is called.
func (t *ticker) wait(ctx context.Context) error {
	t.mu.Lock()
	if t.busy == 0 {
		t.mu.Unlock()
		return nil
	}
	ch := make(chan struct{})
	t.idle = append(t.idle, ch)
	t.mu.Unlock()
	select {
	case <-ch:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
