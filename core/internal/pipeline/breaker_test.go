// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/postroad-mail/postroad/core/mail"
)

func TestBreaker(t *testing.T) {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	b := NewBreaker(BreakerOptions{Failures: 3, Probe: time.Second}).in(mail.PhaseMessage)
	fail := func(client string) bool { return b.failedFrom(netip.MustParseAddr(client), at) }
	for _, c := range []struct {
		client string
		opens  bool
	}{{"192.0.2.1", false}, {"192.0.2.200", false}, {"192.0.2.3", false}, {"2001:db8::1", false}, {"2001:db8::2", false}, {"198.51.100.1", true}} {
		if got := fail(c.client); got != c.opens {
			t.Errorf("failure from %s: opened %v", c.client, got)
		}
	}
	if b.allow(at) || b.allow(at.Add(999*time.Millisecond)) {
		t.Error("called before the first probe")
	}
	at = at.Add(time.Second)
	if !b.allow(at) || b.allow(at) {
		t.Error("the first probe is one call")
	}
	if fail("192.0.2.1") {
		t.Error("opened twice")
	}
	for n, wait := range []int{2, 4, 8} {
		if at = at.Add(time.Duration(wait)*time.Second - 1); b.allow(at) {
			t.Errorf("probe %d before %d s", n, wait)
		}
		if at = at.Add(1); !b.allow(at) {
			t.Errorf("no probe %d after %d s", n, wait)
		}
		fail("192.0.2.1")
	}
	if !b.succeeded() || b.open.Load() || !b.allow(at) {
		t.Error("a success did not close it")
	}
	if b.succeeded() || fail("192.0.2.1") || fail("198.51.100.1") {
		t.Error("old failures count after a success")
	}
}

func TestSuccessBetweenFailuresKeepsTheBreakerClosed(t *testing.T) {
	b := NewBreaker(BreakerOptions{}).in(mail.PhaseMessage)
	for i := range 100 {
		if b.failedFrom(netip.MustParseAddr(fmt.Sprintf("10.0.0.%d", i+1)), time.Time{}) {
			t.Fatalf("opened at failure %d", i)
		}
		if i%9 == 8 {
			b.succeeded()
		}
	}
}

func TestOneStrangerCannotOpenABreaker(t *testing.T) {
	b := NewBreaker(BreakerOptions{}).in(mail.PhaseMessage)
	for range 1000 {
		if b.failedFrom(netip.MustParseAddr("203.0.113.7"), time.Time{}) {
			t.Fatal("opened")
		}
	}
}

func TestOwnSideCountsEach(t *testing.T) {
	for _, client := range []netip.Addr{{}, netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::ffff:10.1.2.3")} {
		b := NewBreaker(BreakerOptions{Failures: 2}).in(mail.PhaseMessage)
		if b.failedFrom(client, time.Time{}) || !b.failedFrom(client, time.Time{}) {
			t.Errorf("two failures of %v do not open it", client)
		}
	}
}

func TestBreakersSurvive(t *testing.T) {
	var s Breakers
	b := s.Get("inbound/filter@1", BreakerOptions{})
	if s.Get("inbound/filter@1", BreakerOptions{Failures: 1}) != b || s.Get("inbound/filter@2", BreakerOptions{}) == b {
		t.Error("names and breakers do not go together")
	}
	if b.in(mail.PhaseMail).failedFrom(netip.Addr{}, time.Time{}) {
		t.Error("options count that nobody has put into force")
	}
	b.Configure(BreakerOptions{Failures: 2})
	if !b.in(mail.PhaseMail).failedFrom(netip.Addr{}, time.Time{}) {
		t.Error("new options do not count")
	}
	s.Keep(map[string]bool{"inbound/filter@2": true})
	if s.Get("inbound/filter@1", BreakerOptions{}) == b {
		t.Error("not forgotten")
	}
}

// Fifty messages are under way when the tenth failure opens the breaker: the
// forty that fail behind it are no probes.
func TestFailuresThatWereUnderWayDoNotPutTheProbeOff(t *testing.T) {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	b := NewBreaker(BreakerOptions{Failures: 10, Probe: time.Second}).in(mail.PhaseMessage)
	for i := range 50 {
		b.failedFrom(netip.MustParseAddr(fmt.Sprintf("10.0.0.%d", i+1)), at.Add(time.Duration(i)*time.Millisecond))
	}
	if !b.allow(at.Add(1100 * time.Millisecond)) {
		t.Errorf("no probe after a second; the next one in %v", b.probe.Sub(at))
	}
}

// A stage that answers MAIL and RCPT and traps in each message is broken all the
// same.
type halfBroken struct{ calls int }

func (*halfBroken) Phases() mail.PhaseSet { return mail.Phases(mail.PhaseRcpt, mail.PhaseMessage) }
func (s *halfBroken) Run(_ context.Context, h *Hook) (mail.Verdict, error) {
	if h.Phase() == mail.PhaseMessage {
		s.calls++
		return 0, trapped{"trap"}
	}
	return mail.Continue, nil
}

func TestStageThatFailsInOnePhaseOnlyIsBroken(t *testing.T) {
	var f fixture
	s := &halfBroken{}
	p := f.pipeline(Step{Name: "half", Stage: s, Breaker: NewBreaker(BreakerOptions{})})
	for range 30 {
		tx := f.begin(p)
		tx.Rcpt(context.Background(), mail.Recipient{Address: "a@x.test", Original: "a@x.test"})
		runMessage(tx, MixedTempfail)
	}
	if s.calls > 12 {
		t.Errorf("called %d times", s.calls)
	}
}

// It is asked after every hook.
func TestCauseOfSuccessAllocatesNothing(t *testing.T) {
	if n := testing.AllocsPerRun(100, func() {
		if CauseOf(nil) != "" {
			t.Error("success has a cause")
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
