// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"errors"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/postroad-mail/postroad/core/internal/auth"
)

// bench is a guard with a clock that stands still.
type bench struct {
	*Guard
	time time.Time
}

func newBench(failures int) *bench {
	b := &bench{time: time.Date(2030, 1, 1, 9, 0, 0, 0, time.UTC)}
	b.Guard = New(failures, func() time.Time { return b.time })
	return b
}

// try logs in with an outcome, and reports whether it could be tried.
func (b *bench) try(addr, user string, outcome error) bool {
	left, ok := b.Enter(auth.Peer{Addr: netip.AddrPortFrom(netip.MustParseAddr(addr), 1)}, user)
	if ok {
		left(outcome)
	}
	return ok
}

// guess fails so many times, as a new user each time, and returns how many could
// be tried.
func (b *bench) guess(addr string, times int) (tried int) {
	for i := range times {
		if b.try(addr, addr+" "+strconv.Itoa(i), auth.ErrDenied) {
			tried++
		}
	}
	return tried
}

func TestAnAddressThatGuessesIsShutOut(t *testing.T) {
	b := newBench(10)
	if n := b.guess("192.0.2.1", 50); n != 10 {
		t.Fatalf("%d guesses could be tried", n)
	}
	if b.try("192.0.2.1", "ann", nil) {
		t.Error("who is shut out may try the right password")
	}
	if !b.try("192.0.2.2", "ann", nil) || !b.try("::ffff:192.0.2.3", "ann", nil) {
		t.Error("others are shut out, too")
	}
	b.time = b.time.Add(shortest)
	if !b.try("192.0.2.1", "ann", nil) {
		t.Error("it is shut out for more than a minute")
	}
}

func TestWhoComesBackIsShutOutForLonger(t *testing.T) {
	b := newBench(10)
	var spans []time.Duration
	for range 8 {
		b.guess("192.0.2.1", 10)
		began := b.time
		for !b.try("192.0.2.1", "", errors.New("fault")) {
			b.time = b.time.Add(time.Minute)
		}
		spans = append(spans, b.time.Sub(began))
	}
	for i := 1; i < len(spans); i++ {
		if spans[i] < spans[i-1] {
			t.Fatalf("shut out for %v", spans)
		}
	}
	if spans[0] != shortest || spans[7] != longest {
		t.Errorf("shut out for %v", spans)
	}
}

func TestSeldomFailuresShutNobodyOut(t *testing.T) {
	b := newBench(10)
	for range 1000 {
		if !b.try("192.0.2.1", "ann", auth.ErrDenied) {
			t.Fatal("who mistypes once in a while is shut out")
		}
		b.time = b.time.Add(halfLife)
	}
}

func TestIPv6HostsCountAsTheirNetwork(t *testing.T) {
	b := newBench(10)
	for i := range 50 {
		b.try("2001:db8::"+strconv.FormatInt(int64(i+1), 16), "user "+strconv.Itoa(i), auth.ErrDenied)
	}
	if b.try("2001:db8::ffff", "ann", nil) {
		t.Error("another address of the same /64 may guess on")
	}
	if !b.try("2001:db8:0:1::1", "ann", nil) {
		t.Error("the next network is shut out")
	}
}

// TestManyAddressesAgainstOneAccount: a botnet must not guess on for ever, and
// must not lock the owner out.
func TestManyAddressesAgainstOneAccount(t *testing.T) {
	b := newBench(10)
	if !b.try("192.0.2.1", "ann", nil) {
		t.Fatal("ann cannot log in")
	}
	tried := 0
	for i := range 250 {
		if b.try("198.51.100."+strconv.Itoa(i), "ann", auth.ErrDenied) {
			tried++
		}
	}
	if tried != 10*accounts {
		t.Errorf("%d guesses could be tried", tried)
	}
	if !b.try("192.0.2.1", "ann", nil) {
		t.Error("ann is locked out where she logs in every day")
	}
	if b.try("203.0.113.1", "ann", nil) {
		t.Error("the account is not guarded against strangers")
	}
	if !b.try("203.0.113.1", "bob", nil) {
		t.Error("another account is shut, too")
	}
}

func TestFaultsOfADirectoryAreNobodysFailures(t *testing.T) {
	b := newBench(10)
	for range 100 {
		if !b.try("192.0.2.1", "ann", errors.New("the directory is down")) {
			t.Fatal("a fault of ours shuts the client out")
		}
	}
}

func TestWhatIsKeptIsBounded(t *testing.T) {
	b := newBench(10)
	for i := range 3 * places {
		b.try(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}).String(), strconv.Itoa(i), auth.ErrDenied)
	}
	if n := len(b.addresses.now) + len(b.addresses.before); n > places {
		t.Errorf("%d addresses are kept", n)
	}
	if n := len(b.users.now) + len(b.users.before); n > places {
		t.Errorf("%d accounts are kept", n)
	}
}

// TestLongNamesDoNotFillTheMemory: a response has room for names of 9,000 octets.
func TestLongNamesDoNotFillTheMemory(t *testing.T) {
	b := newBench(10)
	long := strings.Repeat("x", longName)
	b.try("192.0.2.1", long+"x", auth.ErrDenied)
	if n := len(b.users.now); n > 0 {
		t.Errorf("%d long names are kept", n)
	}
	if b.addresses.get(netip.MustParseAddr("192.0.2.1")).failed == 0 {
		t.Error("the address has no failure")
	}
	b.try("192.0.2.1", long, auth.ErrDenied)
	if n := len(b.users.now); n != 1 {
		t.Errorf("%d names are kept, want the one that an account can have", n)
	}
}
