// SPDX-License-Identifier: Apache-2.0

package ldap

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/go-ldap/ldap/v3"

	"github.com/postroad-mail/postroad/core/internal/auth"
)

// pool keeps connections for the next login.
type pool struct {
	servers []*server
	places  chan struct{} // one for each connection that may be in use

	mu     sync.Mutex
	idle   []*link // the most recently used one last
	closed bool
}

func newPool(o Options) (*pool, error) {
	p := &pool{places: make(chan struct{}, max(1, o.Connections))}
	for _, u := range o.URLs {
		s, err := newServer(u, o)
		if err != nil {
			return nil, err
		}
		p.servers = append(p.servers, s)
	}
	if len(p.servers) == 0 {
		return nil, errors.New("no server is named")
	}
	return p, nil
}

// with runs ask on a connection: on one that is open, and where that had gone, on a
// new one to each server in turn until one answers.
func (p *pool) with(ctx context.Context, ask func(*ldap.Conn) error) error {
	select {
	case p.places <- struct{}{}:
		defer func() { <-p.places }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if l := p.take(); l != nil {
		if err := p.on(ctx, l, ask); settled(err) {
			return err
		}
	}
	var faults []error
	for _, s := range p.servers {
		err := p.at(ctx, s, ask)
		if settled(err) {
			return err
		}
		faults = append(faults, fmt.Errorf("%s: %w", s.url, err))
	}
	return errors.Join(faults...)
}

// settled reports whether no other server is asked.
func settled(err error) bool { return err == nil || errors.Is(err, auth.ErrDenied) }

// at asks one server on a new connection.
func (p *pool) at(ctx context.Context, s *server, ask func(*ldap.Conn) error) error {
	l, err := s.dial(ctx)
	if err != nil {
		return err
	}
	return p.on(ctx, l, ask)
}

// on asks on one connection, which is kept only where all was well.
func (p *pool) on(ctx context.Context, l *link, ask func(*ldap.Conn) error) error {
	err := l.within(ctx, ask)
	if !settled(err) || !p.put(l) {
		l.close()
	}
	return err
}

func (p *pool) take() *link {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) == 0 {
		return nil
	}
	l := p.idle[len(p.idle)-1]
	p.idle = p.idle[:len(p.idle)-1]
	return l
}

// put keeps a connection, unless the pool is closed.
func (p *pool) put(l *link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || len(p.idle) == cap(p.places) {
		return false
	}
	p.idle = append(p.idle, l)
	return true
}

func (p *pool) close() {
	p.mu.Lock()
	idle := p.idle
	p.idle, p.closed = nil, true
	p.mu.Unlock()
	for _, l := range idle {
		l.close()
	}
}
