// SPDX-License-Identifier: Apache-2.0

package wasmhost

import (
	"context"
	"encoding/binary"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postroad-mail/postroad/core/internal/pipeline"
	"github.com/postroad-mail/postroad/core/mail"
)

// oneStage returns a pipeline of s alone.
func oneStage(s pipeline.Stage) *pipeline.Pipeline {
	return pipeline.New(pipeline.Options{
		Name: "test", NewBody: func() pipeline.BodyWriter { return &memBody{} },
		Steps: []pipeline.Step{{Name: "s", Stage: s}},
	})
}

// remember returns a stage of testdata/guests/remember.wat: the first hook of an
// instance continues, later ones tempfail.
func remember(t testing.TB, isolation string, instances int) *Stage {
	return newTestStage(t, load(t, newHost(t, Options{}), "guests/remember.wasm"), StageOptions{
		Limits: Limits{Isolation: isolation, Instances: instances, Deadline: time.Second, MessageDeadline: time.Second},
	})
}

func emptyEnvelope() *mail.Envelope {
	e := testEnvelope()
	e.Recipients = nil
	return e
}

// known tells whether the instance that answers has had a hook before.
func known(t testing.TB, tx *pipeline.Transaction) bool {
	t.Helper()
	r := tx.Mail(context.Background())
	if r != nil && r.Text != "not now, try again later" {
		t.Fatalf("the stage failed: %v", r.Error())
	}
	return r != nil
}

// TestInstanceOfATransaction: all hooks of a transaction have the same instance,
// and no other transaction has it meanwhile.
func TestInstanceOfATransaction(t *testing.T) {
	s := remember(t, IsolationMessage, 4)
	p := oneStage(s)
	a, b := p.Begin(emptyEnvelope()), p.Begin(emptyEnvelope())
	if known(t, a) || known(t, b) || !known(t, a) || !known(t, b) {
		t.Error("transactions share an instance, or have no instance of their own")
	}
	if n := len(s.pool.slots); n != 2 {
		t.Errorf("%d instances are leased", n)
	}
	a.Close()
	b.Close()
	if n := len(s.pool.slots); n != 0 || len(s.pool.idle) != 2 {
		t.Errorf("%d instances are leased after the transactions, %d idle", n, len(s.pool.idle))
	}
	if n := binary.LittleEndian.Uint32(peek(t, s, 2048, 4)); n != 1 {
		t.Errorf("the guest was told %d times that its transaction is over", n)
	}
}

// TestInstanceOfASession: transactions of one connection share an instance.
func TestInstanceOfASession(t *testing.T) {
	s := remember(t, IsolationSession, 4)
	p := oneStage(s)
	session := p.Session(&mail.Client{})
	for n := range 3 {
		tx := session.Begin(emptyEnvelope())
		if known(t, tx) != (n > 0) {
			t.Errorf("transaction %d has another instance", n)
		}
		tx.Close()
	}
	if n := len(s.pool.slots); n != 1 {
		t.Errorf("%d instances are leased", n)
	}
	session.Close()
	if n := len(s.pool.slots); n != 0 {
		t.Errorf("%d instances are leased after the session", n)
	}
}

// TestNarrowerLifetime: what has no connection has the instance for a
// transaction, and what has neither for one call.
func TestNarrowerLifetime(t *testing.T) {
	s := remember(t, IsolationSession, 4)
	tx := oneStage(s).Begin(emptyEnvelope())
	if known(t, tx) || !known(t, tx) || len(s.pool.slots) != 1 {
		t.Error("a transaction without a session does not keep its instance")
	}
	tx.Close()
	run(t, s, newHook(mail.PhaseMail, 0, testEnvelope()))
	if n := len(s.pool.slots); n != 0 {
		t.Errorf("%d instances are leased after a hook of its own", n)
	}
}

// TestResetStartsNoInstance: a transaction that no hook was called for ends
// without one.
func TestResetStartsNoInstance(t *testing.T) {
	s := remember(t, IsolationMessage, 4)
	tx := oneStage(s).Begin(emptyEnvelope())
	tx.Close()
	run(t, s, newHook(mail.PhaseReset, 0, testEnvelope()))
	if n := binary.LittleEndian.Uint32(peek(t, s, 2048, 4)); n != 0 {
		t.Errorf("the guest was told %d times of the end of nothing", n)
	}
}

// TestFaultEndsTheInstanceOfATransaction: the next hook has a new one.
func TestFaultEndsTheInstanceOfATransaction(t *testing.T) {
	s := remember(t, IsolationMessage, 4)
	tx := oneStage(s).Begin(emptyEnvelope())
	known(t, tx)
	if r := tx.Data(context.Background()); r == nil || r.Code != 451 {
		t.Errorf("a trap gave %+v", r)
	}
	if n := s.live.Load(); n != 0 || len(s.pool.slots) != 0 {
		t.Errorf("%d instances live, %d are leased after a trap", n, len(s.pool.slots))
	}
	if known(t, tx) {
		t.Error("the instance that trapped goes on")
	}
	tx.Close()
}

// TestSilentConnectionsKeepNothing: of 10,000 connections that stay open and say
// nothing, none keeps a plugin from the next for good.
func TestSilentConnectionsKeepNothing(t *testing.T) {
	s := remember(t, IsolationSession, 3)
	s.pool.after = 0
	p := oneStage(s)
	sessions := make([]*pipeline.Session, 10_000)
	for n := range sessions {
		sessions[n] = p.Session(&mail.Client{})
		if known(t, sessions[n].Begin(emptyEnvelope())) {
			t.Fatalf("connection %d has the instance of another", n)
		}
		if live := s.live.Load(); live > 3 {
			t.Fatalf("%d instances live", live)
		}
	}
	late := sessions[0].Begin(emptyEnvelope())
	if r := late.Mail(context.Background()); r == nil || r.Code != 451 || !strings.Contains(r.Error(), "taken by others; raise limit instances") {
		t.Errorf("a connection whose instance was taken is not told: %+v", r)
	}
	if known(t, late) {
		t.Error("its next hook has no new instance")
	}
	for _, session := range sessions {
		session.Close()
	}
	if n := len(s.pool.slots); n != 0 || len(s.pool.held) != 0 {
		t.Errorf("%d instances are leased, %d held, after all connections ended", n, len(s.pool.held))
	}
}

// TestBusyConnectionsKeepTheirs: one that was idle for a moment is not robbed;
// who comes too many waits and is refused for now.
func TestBusyConnectionsKeepTheirs(t *testing.T) {
	s := remember(t, IsolationSession, 1)
	s.limits.Deadline = 20 * time.Millisecond
	p := oneStage(s)
	first := p.Session(&mail.Client{})
	known(t, first.Begin(emptyEnvelope()))
	if r := p.Session(&mail.Client{}).Begin(emptyEnvelope()).Mail(context.Background()); r == nil || r.Code != 451 {
		t.Errorf("one too many gave %+v", r)
	}
	s.limits.Deadline = time.Second
	if !known(t, first.Begin(emptyEnvelope())) {
		t.Error("the first lost its instance")
	}
	first.Close()
}

// TestStageClosesUnderOpenConnections: it does not wait for them.
func TestStageClosesUnderOpenConnections(t *testing.T) {
	s := remember(t, IsolationSession, 2)
	session := oneStage(s).Session(&mail.Client{})
	known(t, session.Begin(emptyEnvelope()))
	if err := s.Close(); err != nil || s.live.Load() != 0 {
		t.Errorf("%v, %d instances live", err, s.live.Load())
	}
	for range 2 {
		if r := session.Begin(emptyEnvelope()).Mail(context.Background()); r == nil || r.Code != 451 {
			t.Errorf("a hook of a closed stage gave %+v", r)
		}
	}
	session.Close()
}

// TestLeaseHammer: connections, takers and the end of the stage, all at once.
func TestLeaseHammer(t *testing.T) {
	s := remember(t, IsolationSession, 3)
	s.pool.after = 0
	p := oneStage(s)
	var wg sync.WaitGroup
	half := make(chan struct{})
	for n := range 12 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for k := range 30 {
				session := p.Session(&mail.Client{})
				tx := session.Begin(emptyEnvelope())
				_ = tx.Mail(context.Background())
				_ = tx.Rcpt(context.Background(), mail.Recipient{Address: "bob@example.test"})
				if k%3 == 0 {
					_ = tx.Data(context.Background())
				}
				tx.Close()
				session.Close()
				if n == 0 && k == 15 {
					close(half)
				}
			}
		}()
	}
	<-half
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	wg.Wait()
	if n := s.live.Load(); n != 0 || len(s.pool.slots) != 0 || s.host.budget.used != 0 {
		t.Errorf("%d instances live, %d leased, %d octets in use", n, len(s.pool.slots), s.host.budget.used)
	}
}

// TestClosedPoolRefusesLeases: a hook that comes when the stage is closed.
func TestClosedPoolRefusesLeases(t *testing.T) {
	p := newPool(1)
	p.close()
	if _, err := p.lease(context.Background(), time.Second); !errors.Is(err, errClosed) {
		t.Errorf("error %v", err)
	}
}
