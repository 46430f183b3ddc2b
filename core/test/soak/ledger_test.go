// SPDX-License-Identifier: Apache-2.0

package soak

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/postroad-mail/postroad/core/mail"
)

// epoch is what runs between two changes. A message shows which one made it.
type epoch struct {
	generation int    // a value in the configuration of both plugins
	build      string // of the module in Go
	trial      string // who tags: the stage, or its candidate
}

// span are the epochs, by index, that a transaction may have begun in.
type span struct{ first, last uint16 }

// entry is what is known of one message.
type entry struct {
	from  span
	acked bool
	got   uint8
}

// ledger is the account of a campaign: every message, and every epoch. It keeps
// few octets for each, for its own memory is measured with the relay's.
type ledger struct {
	mu      sync.Mutex
	epochs  []epoch
	live    span // that a transaction may begin in now
	clients [][]entry
	wrong   []string
	acked   int
	arrived int
	old     int // messages that were acknowledged when the epoch that they began in had ended
}

func newLedger(clients, messages int) *ledger {
	l := &ledger{clients: make([][]entry, clients)}
	for n := range l.clients {
		l.clients[n] = make([]entry, 0, 2*messages/clients)
	}
	return l
}

// publish adds the epoch that a change leads to; from now on transactions may
// begin in it. settle says that the change is made: all do.
func (l *ledger) publish(e epoch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.epochs = append(l.epochs, e)
	l.live.last = uint16(len(l.epochs) - 1)
}

func (l *ledger) settle() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.live.first = l.live.last
}

func (l *ledger) now() span {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.live
}

// enter opens the account of the client's next message.
func (l *ledger) enter(client int, from span) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.clients[client] = append(l.clients[client], entry{from: from})
}

// acknowledge notes the 250 of the client's latest message.
func (l *ledger) acknowledge(client int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := &l.clients[client][len(l.clients[client])-1]
	e.acked = true
	l.acked++
	l.old += one(e.from.last < l.live.first)
}

// missing returns the acknowledged messages that have not arrived, ten at most.
func (l *ledger) missing() (ids []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for n, of := range l.clients {
		for seq, e := range of {
			if e.acked && e.got == 0 && len(ids) < 10 {
				ids = append(ids, ident(n, seq))
			}
		}
	}
	return ids
}

func (l *ledger) arrivedSoFar() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.arrived
}

func (l *ledger) faults() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.wrong
}

// arrive enters a message that the next hop has taken. What it says must be
// true.
func (l *ledger) arrive(from string, content []byte) {
	m, err := parse(from, content)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		err = l.check(m)
	}
	if err != nil && len(l.wrong) < 10 {
		l.wrong = append(l.wrong, err.Error())
	}
}

func (l *ledger) check(m *made) error {
	if m.client >= len(l.clients) || m.seq >= len(l.clients[m.client]) {
		return fmt.Errorf("%s came, which nobody sent", m.id)
	}
	e := &l.clients[m.client][m.seq]
	e.got++
	l.arrived++
	switch {
	case e.got > 1:
		return fmt.Errorf("%s came %d times", m.id, e.got)
	case m.crc != m.body:
		return fmt.Errorf("%s came changed", m.id)
	case m.began != m.generation || m.rust != m.generation || m.sender != m.generation:
		return fmt.Errorf("%s is of several generations: MAIL saw %d in Go and %d in Rust, the message %d in Go and %d in Rust", m.id, m.began, m.sender, m.generation, m.rust)
	case m.count != m.seq+1 || m.seq > 0 && m.last != ident(m.client, m.seq-1):
		return fmt.Errorf("%s is number %d behind %q by the plugin's store", m.id, m.count, m.last)
	}
	for n := e.from.first; n <= e.from.last; n++ {
		if l.epochs[n] == m.epoch {
			return nil
		}
	}
	return fmt.Errorf("%s was made by %+v, but began with %+v", m.id, m.epoch, l.epochs[e.from.first:e.from.last+1])
}

func one(is bool) int {
	if is {
		return 1
	}
	return 0
}

// made is what a message says of itself and of who made it.
type made struct {
	epoch
	id          string
	client, seq int
	crc, body   uint32 // as it was sent and as it came
	began       int    // generation at MAIL, in Go
	sender      int    // generation at MAIL, in Rust
	rust        int    // generation at the end of data, in Rust
	count       int
	last        string
}

func parse(from string, content []byte) (*made, error) {
	m := &made{}
	h := mail.ParseHeader(content)
	field := func(name string) string { v, _ := h.Get(name); return strings.TrimSpace(v) }
	_, body, _ := bytes.Cut(content, []byte("\r\n\r\n"))
	m.body = crc32.ChecksumIEEE(body)
	if n, err := fmt.Sscanf(field("X-Soak"), "%d-%d %x", &m.client, &m.seq, &m.crc); n != 3 {
		return nil, fmt.Errorf("a message came without its name: %w", err)
	}
	m.id = ident(m.client, m.seq)
	text, last, _ := strings.Cut(field("X-Go"), " last=")
	m.last, m.trial = last, field("X-Trial")
	if n, err := fmt.Sscanf(text, "generation=%d began=%d build=%s count=%d", &m.generation, &m.began, &m.build, &m.count); n != 4 {
		return nil, fmt.Errorf("%s has not met the plugin in Go: %q, %w", m.id, field("X-Go"), err)
	}
	var err error
	if m.rust, err = strconv.Atoi(field("X-Rust")); err != nil {
		return nil, fmt.Errorf("%s has not met the plugin in Rust: %w", m.id, err)
	}
	if n, err := fmt.Sscanf(from[strings.LastIndex(from, "@")+1:], "g%d.test", &m.sender); n != 1 {
		return nil, fmt.Errorf("%s has the sender %q: %w", m.id, from, err)
	}
	return m, nil
}

// TestTheLedgerFindsWhatIsWrong: each fault that the campaign is there to find is
// found when it is made.
func TestTheLedgerFindsWhatIsWrong(t *testing.T) {
	good := func(seq int) string {
		_, content := contentOf(0, seq)
		head, body, _ := strings.Cut(content, "\r\n\r\n")
		last := ""
		if seq > 0 {
			last = ident(0, seq-1)
		}
		return head + fmt.Sprintf("\r\nX-Rust: 1\r\nX-Trial: live\r\nX-Go: generation=1 began=1 build=a count=%d last=%s\r\n\r\n", seq+1, last) + body
	}
	swap := func(old, is string) func(string) string {
		return func(s string) string { return strings.Replace(s, old, is, 1) }
	}
	for _, c := range []struct {
		name, from, want string
		change           func(string) string
	}{
		{"nothing", "c@g1.test", "", nil},
		{"a changed body", "c@g1.test", "0-1 came changed", swap("quick", "quack")},
		{"another message", "c@g1.test", "0-7 came, which nobody sent", swap("X-Soak: 0-1", "X-Soak: 0-7")},
		{"twice", "c@g1.test", "0-0 came 2 times", func(string) string { return good(0) }},
		{"Rust of before", "c@g1.test", "0-1 is of several generations", swap("X-Rust: 1", "X-Rust: 0")},
		{"Go of before", "c@g1.test", "0-1 is of several generations", swap("generation=1", "generation=0")},
		{"another generation at MAIL", "c@g1.test", "0-1 is of several generations", swap("began=1", "began=0")},
		{"another generation in the envelope", "c@g0.test", "0-1 is of several generations", nil},
		{"a build of before", "c@g1.test", "was made by {generation:1 build:b trial:live}", swap("build=a", "build=b")},
		{"a candidate that was rolled back", "c@g1.test", "was made by {generation:1 build:a trial:next}", swap("X-Trial: live", "X-Trial: next")},
		{"a whole generation that had ended", "c@g0.test", "was made by {generation:0", func(s string) string {
			return strings.NewReplacer("X-Rust: 1", "X-Rust: 0", "generation=1 began=1", "generation=0 began=0").Replace(s)
		}},
		{"a count that is behind", "c@g1.test", "0-1 is number 1", swap("count=2", "count=1")},
		{"a value that is behind", "c@g1.test", `0-1 is number 2 behind "0-7"`, swap("last=0-0", "last=0-7")},
		{"a stage that was not called", "c@g1.test", "0-1 has not met the plugin in Rust", swap("X-Rust", "X-Rusty")},
	} {
		l := newLedger(1, 10)
		l.publish(epoch{0, "a", "live"})
		l.settle()
		l.enter(0, l.now())
		l.publish(epoch{1, "a", "live"})
		l.clients[0][0].from.last = 1 // the first began while the change was made
		l.settle()
		l.enter(0, l.now())
		l.arrive("c@g1.test", []byte(good(0)))
		content := good(1)
		if c.change != nil {
			content = c.change(content)
		}
		l.arrive(c.from, []byte(content))
		if got := strings.Join(l.faults(), "; "); c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%s: faults %q, want %q", c.name, got, c.want)
		}
	}
	l := newLedger(1, 10)
	l.enter(0, span{})
	l.acknowledge(0)
	if got := l.missing(); len(got) != 1 || got[0] != "0-0" {
		t.Errorf("a message that never arrived: missing %q", got)
	}
}
