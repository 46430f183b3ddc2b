// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/postroad-mail/postroad/core/mail"
)

// restSource is how long an address is left out that connections cannot leave
// from.
const restSource = time.Minute

// Source is where connections leave from. It is frozen, as a Route is.
type Source struct {
	Name      string
	Addresses []netip.Addr // of this machine, one of each family at most
	Hostname  string       // our name in EHLO; empty: that of the relay
}

// SourceError says that a connection cannot leave from its local address. It
// speaks of this machine and not of the host.
type SourceError struct{ Err error }

// Error implements error.
func (e *SourceError) Error() string { return e.Err.Error() }

// Unwrap returns Err.
func (e *SourceError) Unwrap() error { return e.Err }

// egress is what is known of sources. Its fields belong to Scheduler.mu.
type egress struct {
	turn   map[string]int         // of the sources of a route, by its name
	sick   map[addressOf]sickness // addresses that connections could not leave from
	asleep []*hop                 // lines without a healthy source
	wake   func() bool            // stops the clock's call for them; nil: it will not call
}

// addressOf is one address of a source.
type addressOf struct {
	source string
	addr   netip.Addr
}

// sickness is kept until a connection has left from the address, so that the log
// has it once.
type sickness struct {
	until time.Time // the address is left out before
	why   string
}

func (e *egress) init() { e.turn, e.sick = map[string]int{}, map[addressOf]sickness{} }

// sourced returns k with the source whose turn it is, by message: one that is
// healthy, or if there is none the one that may be tried first. The caller holds
// mu.
func (s *Scheduler) sourced(now time.Time, k hopKey) hopKey {
	n := len(k.route.Sources)
	if n == 0 || k.unplaced() {
		return k
	}
	turn := s.egress.turn[k.route.Name]
	s.egress.turn[k.route.Name] = (turn + 1) % n
	for i := range n {
		src := k.route.Sources[(turn+i)%n]
		if i == 0 || s.sickUntil(now, src).Before(s.sickUntil(now, k.source)) {
			k.source = src
		}
	}
	return k
}

// anySource returns the next hops of k, one for each source that has it. The
// caller holds mu.
func (s *Scheduler) anySource(k hopKey) (hs []*hop) {
	for _, src := range append([]*Source{nil}, k.route.Sources...) {
		k.source = src
		if h := s.hops[k]; h != nil {
			hs = append(hs, h)
		}
	}
	return hs
}

// sickUntil returns when a source may be tried again; zero when it is healthy. One
// address that connections cannot leave from makes the source sick: its others are
// for hosts of the other family. The caller holds mu.
func (s *Scheduler) sickUntil(now time.Time, src *Source) (until time.Time) {
	if src == nil {
		return time.Time{}
	}
	for _, a := range src.Addresses {
		if at := s.egress.sick[addressOf{src.Name, a}].until; now.Before(at) && until.Before(at) {
			until = at
		}
	}
	return until
}

// local returns the address of a source from which a connection to addr leaves,
// or says why there is none.
func (src *Source) local(addr netip.Addr) (netip.Addr, error) {
	if src == nil {
		return netip.Addr{}, nil
	}
	for _, a := range src.Addresses {
		if a.Is4() == addr.Unmap().Is4() {
			return a, nil
		}
	}
	return netip.Addr{}, &SourceError{fmt.Errorf("source %s has no address to reach %s from", src.Name, addr)}
}

// left notes whether connections can leave from an address.
func (s *Scheduler) left(src *Source, addr netip.Addr, err error) {
	if src == nil {
		return
	}
	k := addressOf{src.Name, addr}
	s.mu.Lock()
	before, known := s.egress.sick[k]
	if err == nil {
		delete(s.egress.sick, k)
	} else {
		before.until, before.why = s.o.Clock.Now().Add(restSource), err.Error()
		s.egress.sick[k] = before
	}
	s.mu.Unlock()
	switch {
	case err != nil && !known:
		s.log.Error("no connection can leave from a source; it is left out for a minute at a time", "source", src.Name, "address", addr, "error", err)
	case err == nil && known:
		s.log.Info("source is healthy again", "source", src.Name, "address", addr)
	}
}

// reseat takes what waits at a next hop whose source is not healthy to those that
// are, or may be tried earlier. Without any it waits for the clock. The caller
// holds mu.
func (s *Scheduler) reseat(h *hop) {
	now := s.o.Clock.Now()
	best := s.sourced(now, h.key).source
	if s.sickUntil(now, best).Before(s.sickUntil(now, h.key.source)) {
		s.move(h, h.key)
		return
	}
	s.rest(h)
}

// rest has the line of h wait until a source may be tried again.
func (s *Scheduler) rest(h *hop) {
	if !h.rests {
		s.dozes(&h.rests, true)
		s.egress.asleep = append(s.egress.asleep, h)
	}
	s.shed(h)
	s.atRest()
	if s.egress.wake == nil && !s.stopped {
		now := s.o.Clock.Now()
		s.egress.wake = s.o.Clock.AfterFunc(max(1, s.sickUntil(now, h.key.source).Sub(now)), s.risen)
	}
}

// risen lets the lines go on that had no healthy source.
func (s *Scheduler) risen() {
	s.mu.Lock()
	defer s.mu.Unlock()
	hops := s.egress.asleep
	s.egress.asleep, s.egress.wake = nil, nil
	for _, h := range hops {
		if s.dozes(&h.rests, false); h.mail() {
			s.call(h)
		}
	}
}

// illness says what is wrong with the sources of a route, in words. The caller
// holds mu.
func (s *Scheduler) illness(r *Route) string {
	var parts []string
	for _, src := range r.Sources {
		for _, a := range src.Addresses {
			if sick, ok := s.egress.sick[addressOf{src.Name, a}]; ok {
				parts = append(parts, src.Name+": "+sick.why)
				break
			}
		}
	}
	return "no source: " + strings.Join(parts, "; ")
}

// sweepSources forgets what has not been tried for long. The caller holds mu.
func (s *Scheduler) sweepSources(now time.Time) {
	for k, sick := range s.egress.sick {
		if now.Sub(sick.until) > time.Hour {
			delete(s.egress.sick, k)
		}
	}
}

// grounded is the outcome of a connection that cannot leave.
func (k hopKey) grounded(name string, addr netip.AddrPort, err error) mail.Outcome {
	reply := mail.NewReply(451, mail.Enhanced{4, 4, 1}, "no connection to "+name+": "+err.Error()).Because(err)
	return mail.Outcome{Status: mail.Deferred, Reply: *reply, NextHop: name, Address: addr.String()}
}

// healthy reports whether connections can leave from a source, as far as is known.
func (s *Scheduler) healthy(src *Source) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sickUntil(s.o.Clock.Now(), src).IsZero()
}

// name returns our name in EHLO, empty for that of the relay.
func (src *Source) name() string {
	if src == nil {
		return ""
	}
	return src.Hostname
}

// sourceName returns the name of the source, empty without one.
func (k hopKey) sourceName() string {
	if k.source == nil {
		return ""
	}
	return k.source.Name
}
