// SPDX-License-Identifier: Apache-2.0

package smtpin

import (
	"cmp"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// What a wait for input ends with when the server is going down, and when it has
// something to tell the session.
var (
	errDraining = errors.New("smtpin: shutting down")
	errNudged   = errors.New("smtpin: nudged")
)

// wait is what may interrupt a wait for input: nothing but its deadline, a
// shutdown, or a nudge too.
type wait uint8

const (
	inTransaction wait = iota
	inHandshake
	forCommand // outside a transaction
)

// bigBuffer is the size of the pooled read buffers that content is read into,
// and flushAbove the number of collected reply octets sent without waiting for
// a pipelining point.
const (
	bigBuffer  = 64 << 10
	flushAbove = 4 << 10
)

// wire moves octets: it reads into a buffer, collects replies, and keeps time.
// Only the session's goroutine uses it, save wake and abort.
type wire struct {
	raw      net.Conn // the accepted connection
	conn     net.Conn // raw, or TLS above it
	timeout  time.Duration
	draining *atomic.Bool
	pool     *sync.Pool // of *[]byte, bigBuffer long

	in    []byte  // read buffer: small or *big
	small []byte  // of our own, one command line long
	big   *[]byte // borrowed from pool; nil when in is small
	r, w  int     // in[r:w] is unread
	out   []byte  // replies not sent yet
	mute  bool    // a write failed: nothing more is sent

	mu     sync.Mutex
	wait   wait
	nudged bool // since the last wait for a command
}

// unread returns the octets read from the peer and not taken yet. It is valid
// until the next fill.
func (w *wire) unread() []byte { return w.in[w.r:w.w] }

// take removes n octets from the unread ones and returns them. They are valid
// until the next fill.
func (w *wire) take(n int) []byte {
	p := w.in[w.r : w.r+n]
	w.r += n
	return p
}

// fill sends the collected replies and waits until at least one more octet has
// come. There must be room: a caller takes what it can before it asks for more.
func (w *wire) fill(until time.Time, kind wait) error {
	if err := w.flush(); err != nil {
		return err
	}
	w.w = copy(w.in, w.in[w.r:w.w])
	w.r = 0
	if err := w.arm(until, kind); err != nil {
		return err
	}
	n, err := w.conn.Read(w.in[w.w:])
	w.w += n
	return w.disarm(n, err)
}

// arm sets the deadline of the next wait, unless we are going down or the session
// was nudged.
func (w *wire) arm(until time.Time, kind wait) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.interrupted(kind); err != nil {
		return err
	}
	w.wait = kind
	return w.conn.SetReadDeadline(until)
}

// disarm judges the end of a wait: octets that came are used first. The end of
// the connection is never io.EOF, which is the end of a message.
func (w *wire) disarm(n int, err error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	was := w.wait
	w.wait = inTransaction
	if n > 0 {
		return nil
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if errors.Is(err, os.ErrDeadlineExceeded) || err != nil && w.draining.Load() {
		return cmp.Or(w.interrupted(was), err)
	}
	return err
}

// interrupted says what interrupts such a wait. The caller holds mu.
func (w *wire) interrupted(was wait) error {
	switch {
	case was >= inHandshake && w.draining.Load():
		return errDraining
	case was == forCommand && w.nudged:
		w.nudged = false
		return errNudged
	}
	return nil
}

// wake interrupts a wait for input outside a transaction; draining is set.
// It may be called from any goroutine.
func (w *wire) wake() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.wait >= inHandshake {
		_ = w.raw.SetReadDeadline(time.Unix(1, 0)) // fails only on a closed connection, which needs no waking
	}
}

// nudge interrupts a wait for a command, now or as soon as there is one. It may
// be called from any goroutine.
func (w *wire) nudge() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.nudged = true
	if w.wait == forCommand {
		_ = w.raw.SetReadDeadline(time.Unix(1, 0)) // as in wake
	}
}

// abort closes the connection under whatever the session does. It may be
// called from any goroutine.
func (w *wire) abort() { _ = w.raw.Close() }

// flush sends the collected replies.
func (w *wire) flush() error {
	if len(w.out) == 0 || w.mute {
		return nil
	}
	err := w.conn.SetWriteDeadline(time.Now().Add(w.timeout))
	if err == nil {
		_, err = w.conn.Write(w.out)
	}
	w.out = w.out[:0]
	w.mute = err != nil
	return err
}

// grow borrows a big buffer for content. Unread octets move along.
func (w *wire) grow() {
	if w.big != nil {
		return
	}
	w.big = w.pool.Get().(*[]byte)
	w.w = copy(*w.big, w.unread())
	w.in, w.r = *w.big, 0
}

// shrink gives the big buffer back once it is empty, so that an idle
// connection does not hold one.
func (w *wire) shrink() {
	if w.big == nil || w.r != w.w {
		return
	}
	w.pool.Put(w.big)
	w.in, w.big, w.r, w.w = w.small, nil, 0, 0
}

// close sends what is left and closes the connection. The buffers must not be
// used afterwards.
func (w *wire) close() error {
	_ = w.flush() // the peer may be gone
	err := w.conn.Close()
	w.r, w.w = 0, 0
	w.shrink()
	return err
}
