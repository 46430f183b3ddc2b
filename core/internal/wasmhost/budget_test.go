// SPDX-License-Identifier: Apache-2.0

package wasmhost

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/postroad-mail/postroad/core/mail"
)

const page = 64 << 10

// TestInstancesOfAllStagesShareTheMemory: an idle instance of one stage makes
// room for another's, a running one does not.
func TestInstancesOfAllStagesShareTheMemory(t *testing.T) {
	h := newHost(t, Options{MaxMemory: 3 * page})
	g := newGate()
	wait := newTestStage(t, load(t, h, "guests/wait.wasm"), StageOptions{
		Name: "wait", Grant: everything(), Buckets: map[string]Bucket{"gate": g}, Limits: Limits{Deadline: time.Minute},
	})
	two := newTestStage(t, load(t, h, "guests/remember.wasm"), StageOptions{
		Name: "two", Phases: early, Limits: Limits{Deadline: 100 * time.Millisecond},
	})
	done := make(chan error)
	for range 2 { // two instances of one page run, and the one of two pages must go
		go func() {
			_, err := wait.Run(context.Background(), newHook(mail.PhaseMail, 0, testEnvelope()))
			done <- err
		}()
		<-g.in
	}
	if n := two.live.Load(); n != 0 {
		t.Errorf("%d idle instances live on although the memory is needed", n)
	}
	wantFault(t, two, newHook(mail.PhaseMail, 0, testEnvelope()), CausePool, "the instances of all plugins together have their 196608 octets")
	for range 2 {
		g.out <- struct{}{}
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	run(t, two, newHook(mail.PhaseMail, 0, testEnvelope()))
	if h.budget.used > 3*page {
		t.Errorf("%d octets are in use", h.budget.used)
	}
}

// TestNewInstanceWaitsForMemory: it starts when another ends.
func TestNewInstanceWaitsForMemory(t *testing.T) {
	b := newBudget(100)
	if !b.try(80) {
		t.Fatal("nothing there")
	}
	done := make(chan error)
	go func() { done <- b.wait(context.Background(), 50, time.Minute) }()
	for waits := false; !waits; {
		b.mu.Lock()
		waits = b.freed != nil
		b.mu.Unlock()
	}
	b.give(20)
	b.give(60)
	if err := <-done; err != nil || b.used != 50 {
		t.Errorf("%v, %d in use", err, b.used)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := b.wait(ctx, 60, time.Minute); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled wait: %v", err)
	}
	if err := b.wait(context.Background(), 1000, time.Millisecond); err == nil {
		t.Error("more than there ever is was given")
	}
}

// TestGrowthStopsAtTheMemoryOfAll: a guest sees that it cannot grow, well below
// its own limit.
func TestGrowthStopsAtTheMemoryOfAll(t *testing.T) {
	h := newHost(t, Options{MaxMemory: 4 * page})
	s := newTestStage(t, load(t, h, "guests/remember.wasm"), StageOptions{Phases: early, Limits: Limits{Isolation: IsolationFresh}})
	env := testEnvelope()
	for len(env.Recipients) < 8 {
		env.Recipients = append(env.Recipients, mail.Recipient{Address: "x@example.test"})
	}
	a := &account{}
	h.o.Observer = a
	run(t, s, newHook(mail.PhaseRcpt, 2, env))
	run(t, s, newHook(mail.PhaseRcpt, 3, env))
	if a.calls[0].Memory != 4*page || a.calls[1].Memory != 2*page {
		t.Errorf("instances had %d and %d octets", a.calls[0].Memory, a.calls[1].Memory)
	}
	if h.budget.used != 0 {
		t.Errorf("%d octets are in use without an instance", h.budget.used)
	}
}

// TestBudgetHammer: whatever happens at once, nothing is lost or given twice.
func TestBudgetHammer(t *testing.T) {
	h := newHost(t, Options{MaxMemory: 6 * page})
	var stages []*Stage
	for _, isolation := range []string{IsolationCall, IsolationFresh, IsolationRestore} {
		stages = append(stages, newTestStage(t, load(t, h, "guests/remember.wasm"), StageOptions{
			Name: isolation, Phases: early, Limits: Limits{Isolation: isolation, Instances: 3, Deadline: time.Minute},
		}))
	}
	var wg sync.WaitGroup
	for n := range 12 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for k := range 40 {
				s := stages[(n+k)%len(stages)]
				phase := []mail.Phase{mail.PhaseMail, mail.PhaseRcpt, mail.PhaseData}[k%3]
				_, err := s.Run(context.Background(), newHook(phase, k%2, testEnvelope()))
				var f *Fault
				if err != nil && (!errors.As(err, &f) || f.Cause != CauseTrap && f.Cause != CausePool) {
					t.Error(err)
				}
			}
		}()
	}
	wg.Wait()
	for _, s := range stages {
		_ = s.Close()
	}
	if h.budget.used != 0 || len(h.budget.stages) != 0 {
		t.Errorf("%d octets are in use, %d stages known, after all were closed", h.budget.used, len(h.budget.stages))
	}
}
