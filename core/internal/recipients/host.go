// SPDX-License-Identifier: Apache-2.0

package recipients

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
)

// What a host is asked, and for how long its answers are good.
const (
	askTime  = 10 * time.Second // for one question, with the connection
	yesFor   = time.Hour
	noFor    = 10 * time.Minute
	answers  = 100_000 // that are kept, the most recent ones
	atOnce   = 4       // connections
	keepIdle = 30 * time.Second
)

// Host is asked about recipients as if mail for them came: MAIL FROM:<>, RCPT TO,
// and never any further. Its answers are kept for a while.
type Host struct {
	addr string // host:port
	name string // ours, in EHLO
	now  func() time.Time
	slot chan struct{} // one for each connection

	mu           sync.Mutex
	idle         []kept
	fresh, older map[string]answer // those of late, and those before
}

type answer struct {
	known bool
	until time.Time
}

// kept is a connection that waits for the next question.
type kept struct {
	c     *smtp.Client
	since time.Time
}

// NewHost asks nobody yet. Close it.
func NewHost(addr, name string, now func() time.Time) *Host {
	return &Host{addr: addr, name: name, now: now, slot: make(chan struct{}, atOnce), fresh: map[string]answer{}}
}

// Known asks the host, if it has not said it of late.
func (h *Host) Known(ctx context.Context, address string) (bool, error) {
	if a, ok := h.remembered(address); ok {
		return a, nil
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	select {
	case h.slot <- struct{}{}:
		defer func() { <-h.slot }()
	case <-ctx.Done():
		return false, fmt.Errorf("%s: too many recipients are being asked about", h.addr)
	}
	known, err := h.ask(ctx, address)
	if err != nil {
		return false, fmt.Errorf("%s: %w", h.addr, err)
	}
	h.remember(address, known)
	return known, nil
}

func (h *Host) remembered(address string) (known, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	a, ok := h.fresh[address]
	if !ok {
		a, ok = h.older[address]
	}
	return a.known, ok && h.now().Before(a.until)
}

func (h *Host) remember(address string, known bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.fresh) >= answers/2 {
		h.fresh, h.older = map[string]answer{}, h.fresh
	}
	span := noFor
	if known {
		span = yesFor
	}
	h.fresh[address] = answer{known, h.now().Add(span)}
}

// ask asks on a connection that is kept, and once more on a new one if that is gone.
func (h *Host) ask(ctx context.Context, address string) (known bool, err error) {
	if c := h.take(); c != nil {
		if known, err = h.question(c, address); err == nil {
			return known, nil
		}
	}
	c, err := h.dial(ctx)
	if err != nil {
		return false, err
	}
	return h.question(c, address)
}

func (h *Host) dial(ctx context.Context) (*smtp.Client, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", h.addr)
	if err != nil {
		return nil, err
	}
	c := smtp.NewClient(conn)
	c.CommandTimeout, c.SubmissionTimeout = askTime, askTime
	if err := c.Hello(h.name); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// question asks on a connection, and keeps it if it is still good.
func (h *Host) question(c *smtp.Client, address string) (bool, error) {
	err := c.Mail("", nil)
	if err == nil {
		err = c.Rcpt(address, nil)
	}
	known, err := meaning(err)
	if reset := c.Reset(); err != nil || reset != nil {
		return known, errors.Join(err, ignored(c.Close()))
	}
	h.keep(c)
	return known, nil
}

// ignored drops the error of closing what is broken anyway.
func ignored(error) error { return nil }

// meaning is what the host said: it knows the recipient, it does not (550, 551,
// 553), or it cannot tell.
func meaning(err error) (known bool, fault error) {
	var said *smtp.SMTPError
	if !errors.As(err, &said) {
		return err == nil, err
	}
	switch said.Code {
	case 550, 551, 553:
		return false, nil
	}
	return false, err
}

func (h *Host) keep(c *smtp.Client) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.idle = append(h.idle, kept{c, h.now()})
}

// take returns a connection that was in use of late, nil if there is none.
func (h *Host) take() *smtp.Client {
	h.mu.Lock()
	defer h.mu.Unlock()
	for len(h.idle) > 0 {
		last := h.idle[len(h.idle)-1]
		h.idle = h.idle[:len(h.idle)-1]
		if h.now().Sub(last.since) < keepIdle {
			return last.c
		}
		_ = last.c.Close() // the host may have closed it
	}
	return nil
}

// Close ends the connections that are kept.
func (h *Host) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, k := range h.idle {
		_ = k.c.Close() // the host may have closed it
	}
	h.idle = nil
	return nil
}
