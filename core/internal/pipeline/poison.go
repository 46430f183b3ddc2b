// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/postroad-mail/postroad/core/mail"
)

// poisonAttempts is how often a message may make a stage fail before it is kept
// aside.
const poisonAttempts = 3

// maxPoison bounds the messages that are remembered; the oldest go first.
const maxPoison = 64 << 10

// Poison remembers messages that made a stage fail, so that one that comes again
// and again is quarantined for somebody to look at, in place of another 451, and
// one that cannot leave is held. While it comes in it knows a message by a digest
// of sender, recipients and content, for a 451 leaves nothing stored. It lives as long as the relay and is safe for use by many
// goroutines.
type Poison struct {
	mu    sync.Mutex
	seen  map[digest]int
	order []digest // a ring of the digests in seen
	next  int
}

type digest [16]byte

// NewPoison returns an empty Poison.
func NewPoison() *Poison { return &Poison{seen: make(map[digest]int)} }

// failed notes a failure and returns how many there were.
func (p *Poison) failed(d digest) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := p.seen[d]; n > 0 {
		p.seen[d] = n + 1
		return n + 1
	}
	if len(p.order) < maxPoison {
		p.order = append(p.order, d)
	} else {
		delete(p.seen, p.order[p.next])
		p.order[p.next] = d
		p.next = (p.next + 1) % maxPoison
	}
	p.seen[d] = 1
	return 1
}

// poisonous reports whether a failure is the message's doing, not the
// machine's: those that overload brings are no sign of it.
func poisonous(err error) bool {
	switch CauseOf(err) {
	case "trap", "fuel", "depth", "memory", "exit", "deadline":
		return true
	}
	return false
}

// poisoned is what becomes of a message that made a stage fail: what on_error
// says, but in place of a 451 for ever it is quarantined in the end.
func (t *Transaction) poisoned(f fate) fate {
	if !t.suspects(f) {
		return f
	}
	n := t.attempt()
	if n < poisonAttempts {
		return f
	}
	f.verdict, f.reply = mail.Quarantine, mail.NewReply(250, mail.Enhanced{2, 0, 0}, f.poison(n))
	return f
}

// suspects reports whether f is a fault that the message may be the cause of,
// and that would put it off.
func (t *Transaction) suspects(f fate) bool { return t.p.o.Poison != nil && f.suspicious() }

func (f fate) suspicious() bool {
	return f.failed && f.verdict == mail.Tempfail && poisonous(f.err)
}

// poison says why a message is kept aside after n attempts.
func (f fate) poison(n int) string {
	why, _, _ := strings.Cut(f.err.Error(), "\n")
	return fmt.Sprintf("failed %d times on this message: %s", n, why)
}

// poisoned is what becomes of a queued message that made a stage fail while it
// was to be delivered: in the end it is held, in place of another try.
func (o *Outbound) poisoned(f fate, phase mail.Phase, about int, b *branch) fate {
	if o.p.o.Poison == nil || !f.suspicious() {
		return f
	}
	n := o.p.o.Poison.failed(b.attemptOf(phase, about))
	if n >= poisonAttempts {
		f.verdict, f.reply = mail.Defer, mail.NewReply(451, mail.Enhanced{4, 3, 0}, f.poison(n)).Because(f.err)
	}
	return f
}

// attemptOf returns what attempts at one recipient of b, or at all of them when
// about is -1, are known by.
func (b *branch) attemptOf(phase mail.Phase, about int) digest {
	h := sha256.New()
	fmt.Fprintf(h, "%s %v", b.env.ID, phase)
	for i := range b.env.Recipients {
		if !b.env.Recipients[i].Removed && (about < 0 || about == i) {
			fmt.Fprintf(h, " %d", i)
		}
	}
	return digest(h.Sum(nil)[:len(digest{})])
}

// attempt returns which attempt at the message this is among those that made a
// stage fail, however many of its parts do; 0 when that cannot be told.
func (t *Transaction) attempt() int {
	if t.attempts > 0 {
		return t.attempts
	}
	if d, err := t.first.digestOf(); err == nil {
		t.attempts = t.p.o.Poison.failed(d)
	}
	return t.attempts
}

// digestOf returns what a message is known by: it stays the same when the client
// tries again, so our own Received field is not in it.
func (b *branch) digestOf() (digest, error) {
	h := sha256.New()
	part := func(s string) {
		var n [8]byte
		binary.LittleEndian.PutUint64(n[:], uint64(len(s)))
		h.Write(n[:])
		io.WriteString(h, s) //nolint:errcheck // a hash never fails
	}
	part(string(b.env.OriginalSender))
	for i := range b.env.Recipients {
		if o := b.env.Recipients[i].Original; o != "" {
			part(string(o))
		}
	}
	for _, f := range b.header.Fields() {
		if f.ID+1 != b.own {
			part(string(f.Raw))
		}
	}
	var d digest
	err := copyBody(h, b.body)
	copy(d[:], h.Sum(nil))
	return d, err
}

func copyBody(w io.Writer, body mail.Body) error {
	if body == nil {
		return nil
	}
	_, err := io.Copy(w, io.NewSectionReader(body, 0, body.Size()))
	return err
}
