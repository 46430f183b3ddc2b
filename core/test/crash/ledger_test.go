// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/postroad-mail/postroad/core/internal/testkit"
	"github.com/postroad-mail/postroad/core/mail"
)

// inline is the size in octets up to which a body is part of the queue's batch.
const inline = 64 << 10

// entry is what is known of one message from outside the relay.
type entry struct {
	n      int
	sum    [sha256.Size]byte // of the content as it was sent
	big    bool              // its body is a file in the relay
	queued string            // the relay's id, from its 250; empty while there was none
	life   int               // in which it was acknowledged
	got    int               // times that the next hop has taken it
}

// ledger is the account of all messages of a campaign, by id.
type ledger struct {
	mu      sync.Mutex
	entries map[string]*entry
	life    int
	acks    int // in this life
}

func newLedger() *ledger { return &ledger{entries: map[string]*entry{}} }

// ident is the id of the n-th message: the local part of its recipient.
func ident(n int) string { return fmt.Sprintf("m%07d", n) }

// next makes a new message and enters it. A third of the messages have a body
// over 64 KiB.
func (l *ledger) next() (id string, content []byte) {
	l.mu.Lock()
	n := len(l.entries)
	id = ident(n)
	e := &entry{n: n, big: n/3%3 == 0}
	l.entries[id] = e
	l.mu.Unlock()
	content = contentOf(id, n, e.big)
	e.sum = sha256.Sum256(content)
	return id, content
}

// contentOf is a message that is like no other.
func contentOf(id string, n int, big bool) []byte {
	line := id + " 0123456789 the quick brown fox jumps over the lazy dog\r\n"
	size := 100 + n%1900
	if big {
		size = inline + 1 + n*37%(32<<10)
	}
	body := strings.Repeat(line, size/len(line)+1)
	return []byte("From: a@here.test\r\nTo: " + id + "@far.test\r\nSubject: crash " + id + "\r\n\r\n" + body)
}

// begin opens the account of a new life.
func (l *ledger) begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.life++
	l.acks = 0
}

// acknowledge enters a 250 whose text is reply, and returns the number of those
// in this life.
func (l *ledger) acknowledge(id, reply string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.entries[id]
	words := strings.Fields(reply)
	e.queued, e.life = words[len(words)-1], l.life
	l.acks++
	return l.acks
}

// deliver enters what the next hop has taken in one life and says what is wrong
// with it. No message may come twice in one life.
func (l *ledger) deliver(ms []testkit.Received) (faults []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	seen := map[string]bool{}
	for _, m := range ms {
		id := strings.TrimSuffix(strings.Trim(strings.Join(m.To, ","), "<>"), "@far.test")
		e := l.entries[id]
		switch {
		case e == nil:
			faults = append(faults, fmt.Sprintf("%v came, which nobody sent", m.To))
			continue
		case seen[id]:
			faults = append(faults, id+" came twice in one life")
		case sha256.Sum256(withoutTrace(m.Content)) != e.sum:
			faults = append(faults, fmt.Sprintf("%s came changed (%d octets)", id, len(m.Content)))
		}
		seen[id] = true
		e.got++
	}
	return faults
}

// withoutTrace takes the relay's own Received field off.
func withoutTrace(content []byte) []byte {
	h := mail.ParseHeader(content)
	if len(h.Fields()) == 0 || !strings.HasPrefix(string(content), "Received: ") {
		return content
	}
	return content[len(h.Fields()[0].Raw):]
}

// undelivered returns the ids that are acknowledged and not delivered, in
// order.
func (l *ledger) undelivered() (ids []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, e := range l.entries {
		if e.queued != "" && e.got == 0 {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// totals are the figures of a campaign.
type totals struct {
	sent, acked, big, delivered int
	duplicates                  int // deliveries beyond a message's first
	unpromised                  int // delivered although the client saw no 250
}

func (l *ledger) totals() (s totals) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.entries {
		s.sent++
		s.acked += one(e.queued != "")
		s.big += one(e.queued != "" && e.big)
		s.delivered += one(e.queued != "" && e.got > 0)
		s.unpromised += one(e.queued == "" && e.got > 0)
		s.duplicates += max(0, e.got-1)
	}
	return s
}

func one(is bool) int {
	if is {
		return 1
	}
	return 0
}

// of returns the relay's id of a message.
func (l *ledger) of(id string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.entries[id].queued
}

// isBig reports whether a message's body is a file in the relay.
func (l *ledger) isBig(id string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.entries[id].big
}

func TestTheLedgerFindsWhatIsWrong(t *testing.T) {
	l := newLedger()
	l.begin()
	contents := map[string][]byte{}
	for range 4 {
		id, content := l.next()
		contents[id] = content
		l.acknowledge(id, "2.0.0 queued as X"+id)
	}
	trace := "Received: from x by y\r\n\twith ESMTP\r\n"
	hop := func(id, content string) testkit.Received {
		return testkit.Received{To: []string{"<" + id + "@far.test>"}, Content: []byte(content)}
	}
	good := trace + string(contents[ident(0)])
	bad := strings.Replace(trace+string(contents[ident(1)]), "fox", "f0x", 1)
	other := trace + string(contents[ident(3)])
	faults := l.deliver([]testkit.Received{hop(ident(0), good), hop(ident(1), bad), hop(ident(0), good), hop("m9", good), hop(ident(2), other)})
	want := []string{"m0000001 came changed", "m0000000 came twice", "nobody sent", "m0000002 came changed"}
	if len(faults) != len(want) {
		t.Fatalf("faults %q", faults)
	}
	for i, f := range faults {
		if !strings.Contains(f, want[i]) {
			t.Errorf("fault %q, want %q", f, want[i])
		}
	}
	if lost := l.undelivered(); !slices.Equal(lost, []string{ident(3)}) {
		t.Errorf("lost %v", lost)
	}
	if s := l.totals(); s.acked != 4 || s.delivered != 3 || s.duplicates != 1 {
		t.Errorf("%+v", s)
	}
}
