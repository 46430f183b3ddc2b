// SPDX-License-Identifier: Apache-2.0

package wasmhost

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/postroad-mail/postroad/core/mail"
)

// account is an Observer that keeps what it is told.
type account struct {
	mu    sync.Mutex
	calls []Call
	live  int
	most  int
}

func (a *account) PluginCall(c Call) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.calls = append(a.calls, c)
}

func (a *account) PluginInstances(_ string, n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.live, a.most = n, max(a.most, n)
}

// gate is a Bucket at which guests wait until the test lets them go.
type gate struct{ in, out chan struct{} }

func newGate() *gate { return &gate{make(chan struct{}), make(chan struct{})} }

func (g *gate) Take(string, int) (bool, time.Duration) {
	g.in <- struct{}{}
	<-g.out
	return true, 0
}

func (*gate) Peek(string, int) (bool, time.Duration) { return true, 0 }

// TestStagesOfOneNameAreCountedTogether: behind a reload the stage that ends must
// not overwrite the figure of the one that took its place.
func TestStagesOfOneNameAreCountedTogether(t *testing.T) {
	a := &account{}
	m := load(t, newHost(t, Options{Observer: a}), "guests/empty.wasm")
	old := newTestStage(t, m, StageOptions{Name: "s"})
	newTestStage(t, m, StageOptions{Name: "s"})
	if a.live != 2 {
		t.Errorf("%d instances while both generations live", a.live)
	}
	if err := old.Close(); err != nil || a.live != 1 {
		t.Errorf("%d instances when the old generation is gone, %v", a.live, err)
	}
}

func TestOneInstanceServesCallAfterCall(t *testing.T) {
	a := &account{}
	s := newTestStage(t, load(t, newHost(t, Options{Observer: a}), "guests/empty.wasm"), StageOptions{})
	for n := 0; n < 100; n++ {
		run(t, s, newHook(mail.PhaseMail, 0, testEnvelope()))
	}
	if a.most != 1 || len(a.calls) != 100 || a.calls[0].Fuel == 0 || a.calls[0].Memory != 64<<10 || a.calls[0].Cause != "" {
		t.Errorf("%d instances for %d calls, first %+v", a.most, len(a.calls), a.calls[0])
	}
}

func TestPoolIsBoundedAndWaits(t *testing.T) {
	g := newGate()
	a := &account{}
	s := newTestStage(t, load(t, newHost(t, Options{Observer: a}), "guests/wait.wasm"), StageOptions{
		Grant: everything(), Buckets: map[string]Bucket{"gate": g}, Limits: Limits{Instances: 2, Deadline: time.Minute},
	})
	results := make(chan error)
	for n := 0; n < 3; n++ {
		go func() {
			_, err := s.Run(context.Background(), newHook(mail.PhaseMail, 0, testEnvelope()))
			results <- err
		}()
	}
	<-g.in
	<-g.in
	g.out <- struct{}{} // one leaves, and only then the third can come in
	<-g.in
	g.out <- struct{}{}
	g.out <- struct{}{}
	for n := 0; n < 3; n++ {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	if a.most != 2 {
		t.Errorf("%d instances lived at once", a.most)
	}
}

func TestWaitForAnInstanceEnds(t *testing.T) {
	g := newGate()
	s := newTestStage(t, load(t, newHost(t, Options{}), "guests/wait.wasm"), StageOptions{
		Grant: everything(), Buckets: map[string]Bucket{"gate": g},
		Limits: Limits{Instances: 1, Deadline: 5 * time.Millisecond, MessageDeadline: time.Minute},
	})
	first := make(chan error)
	go func() {
		_, err := s.Run(context.Background(), newHook(mail.PhaseMessage, 0, testEnvelope()))
		first <- err
	}()
	<-g.in
	wantFault(t, s, newHook(mail.PhaseMail, 0, testEnvelope()), CausePool, "no instance became free")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := s.Run(ctx, newHook(mail.PhaseMail, 0, testEnvelope())); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled call gave %v", err)
	}
	g.out <- struct{}{}
	if err := <-first; err != nil {
		t.Error(err)
	}
}

// TestHostCallPastTheDeadline: time in a host function counts, and the guest is
// stopped when it comes back.
func TestHostCallPastTheDeadline(t *testing.T) {
	g := newGate()
	sc := newScript(t)
	sc.atInit("bucket", "gate")
	sc.call("rate_take", 0, "k", 1, scriptBuffers)
	sc.call("now")
	s := scriptStage(t, sc.end(allPhases, 0), StageOptions{
		Grant: everything(), Buckets: map[string]Bucket{"gate": g}, Limits: Limits{Deadline: time.Millisecond},
	})
	i := s.pool.idle[0]
	go func() {
		<-g.in
		<-i.watch.wake // the deadline, whenever it comes
		g.out <- struct{}{}
	}()
	wantFault(t, s, newHook(mail.PhaseMail, 0, testEnvelope()), CauseDeadline, "it took longer than deadline (1ms); raise it in limits")
}

func TestInstanceIsReplacedWhenItHasGrown(t *testing.T) {
	logger, sink := newLog(hclog.Info)
	a := &account{}
	s := newTestStage(t, load(t, newHost(t, Options{Logger: logger, Observer: a}), "guests/lifecycle.wasm"),
		StageOptions{Limits: Limits{Memory: 1 << 20}})
	env := testEnvelope()
	for len(env.Recipients) < 13 {
		env.Recipients = append(env.Recipients, mail.Recipient{Address: "x@example.test"})
	}
	run(t, s, newHook(mail.PhaseRcpt, 1, env))
	if a.live != 1 || strings.Contains(sink.String(), "step-c") {
		t.Error("instance was replaced after it grew a little")
	}
	run(t, s, newHook(mail.PhaseRcpt, 12, env))
	if a.live != 0 || !strings.Contains(sink.String(), "step-c") {
		t.Error("instance lives on although it grew")
	}
	run(t, s, newHook(mail.PhaseRcpt, 0, env))
	if got := a.calls[2].Memory; got != 64<<10 {
		t.Errorf("the next call had an instance of %d octets", got)
	}
}

func TestInstanceIsReplacedAfterManyCalls(t *testing.T) {
	a := &account{}
	s := newTestStage(t, load(t, newHost(t, Options{Observer: a}), "guests/empty.wasm"), StageOptions{})
	s.pool.idle[0].calls = maxCalls - 1
	run(t, s, newHook(mail.PhaseMail, 0, testEnvelope()))
	if a.live != 0 {
		t.Error("instance lives on after its last call")
	}
}

func TestFreshInstancePerCall(t *testing.T) {
	logger, sink := newLog(hclog.Info)
	a := &account{}
	s := newTestStage(t, load(t, newHost(t, Options{Logger: logger, Observer: a}), "guests/lifecycle.wasm"),
		StageOptions{Limits: Limits{Isolation: IsolationFresh}})
	for n := 0; n < 3; n++ {
		run(t, s, newHook(mail.PhaseMail, 0, testEnvelope()))
	}
	if n := strings.Count(sink.String(), "step-p"); n != 4 || a.live != 0 { // one proof, one per call
		t.Errorf("%d instances were started, %d live", n, a.live)
	}
}

func TestClosedStage(t *testing.T) {
	s := newTestStage(t, load(t, newHost(t, Options{}), "guests/empty.wasm"), StageOptions{})
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}
	wantFault(t, s, newHook(mail.PhaseMail, 0, testEnvelope()), CausePool, "stage is closed")
}

// TestPoolHammer has many goroutines use few instances, some of which fail, and
// closes the stage in the middle.
func TestPoolHammer(t *testing.T) {
	a := &account{}
	h := newHost(t, Options{Observer: a})
	sc := newScript(t)
	sc.atInit("store", "db")
	sc.call("get", 22, 1, buf(0))
	sc.call("kv_add", 0, "n", int64(1), int64(0), scriptBuffers)
	sc.call("log", 0, 0, 0)
	st := newMemStore()
	good := newTestStage(t, load(t, h, "script.wasm"), StageOptions{
		Grant: everything(), Stores: map[string]Store{"db": st}, Config: sc.end(allPhases, 0), Limits: Limits{Instances: 3},
	})
	bad := newTestStage(t, load(t, h, "hostile/trap.wasm"), StageOptions{Limits: Limits{Instances: 2}})
	var wg sync.WaitGroup
	for n := 0; n < 16; n++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for k := 0; k < 50; k++ {
				if _, err := good.Run(context.Background(), newHook(mail.PhaseMail, 0, testEnvelope())); err != nil {
					t.Error(err)
				}
				_, _ = bad.Run(context.Background(), newHook(mail.PhaseMessage, 0, testEnvelope()))
			}
		}()
	}
	if err := bad.Close(); err != nil {
		t.Error(err)
	}
	wg.Wait()
	if n, _ := st.Add([]byte("n"), 0, 0); n != 16*50 {
		t.Errorf("%d of %d calls counted", n, 16*50)
	}
	if n := good.live.Load(); n > 3 || n < 1 {
		t.Errorf("%d instances live", n)
	}
	if n := bad.live.Load(); n != 0 {
		t.Errorf("%d failed instances live", n)
	}
}
