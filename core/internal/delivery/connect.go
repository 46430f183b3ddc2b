// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"

	"github.com/postroad-mail/postroad/core/mail"
)

// maxAddresses bounds how many addresses one connection is tried at.
const maxAddresses = 10

// host is one host of a next hop.
type host struct {
	name string
	port uint16
}

// host returns the name for outcomes that no host was found for.
func (k hopKey) host() string {
	switch {
	case k.site != nil:
		return k.site.hosts[0].Host
	case k.target != "":
		return k.target
	case k.kind() == ViaSmarthost && len(k.route.Hosts) > 0:
		return k.route.Hosts[0]
	}
	return ""
}

// connect opens a connection to the first host of the next hop that answers. If
// none does it says why; when no connection can leave from the source, which is no
// attempt, it says nothing.
func (w *worker) connect() (Conn, *mail.Outcome) {
	hosts, err := w.hop.key.hosts()
	if err != nil {
		return nil, w.hop.key.unresolved(w.hop.key.host(), err)
	}
	var failed, grounded verdict
	left := maxAddresses
hosts:
	for _, h := range hosts {
		addrs, err := w.s.addresses(w.ctx, w.hop.key, h.name)
		if err != nil {
			failed.add(*w.hop.key.unresolved(h.name, err))
			continue
		}
		for _, a := range addrs {
			if left--; left < 0 || w.ctx.Err() != nil {
				break hosts
			}
			conn, o, err := w.dial(h, a)
			var ours *SourceError
			switch {
			case conn != nil:
				return conn, nil
			case errors.As(err, &ours):
				grounded.add(o)
			default:
				failed.add(o)
			}
		}
	}
	return nil, w.verdict(&failed, &grounded)
}

// verdict is the outcome of a connection that did not come about: nil when it
// could not leave from its source.
func (w *worker) verdict(failed, grounded *verdict) *mail.Outcome {
	switch {
	case failed.any || !grounded.any:
		return failed.outcome()
	case w.s.healthy(w.hop.key.source):
		return grounded.outcome()
	}
	return nil
}

func (w *worker) dial(h host, a netip.Addr) (Conn, mail.Outcome, error) {
	r, src := w.hop.key.route, w.hop.key.source
	tls := r.TLS
	if tls == "" {
		tls = "opportunistic"
	}
	addr := netip.AddrPortFrom(a, h.port)
	local, err := src.local(a)
	if err != nil {
		return nil, w.hop.key.grounded(h.name, addr, err), err
	}
	conn, err := w.s.o.SMTP.Dial(w.ctx, Target{Host: h.name, Addr: addr, TLS: tls, Local: local, Hostname: src.name(), RequireTLS: w.hop.key.secure})
	w.s.o.Observer.Connected(r.Name, err)
	if err == nil {
		w.s.left(src, local, nil)
		return conn, mail.Outcome{}, nil
	}
	w.s.log.Debug("no connection", "host", h.name, "peer", addr, "error", err)
	var ours *SourceError
	if errors.As(err, &ours) {
		w.s.left(src, local, ours.Err)
		return nil, w.hop.key.grounded(h.name, addr, err), err
	}
	return nil, w.hop.key.refused(h.name, addr, err), err
}

// verdict folds what several hosts said into one outcome: it is a failure only
// if every one of them refused for good (RFC 7504 §4); the last word counts.
type verdict struct {
	last      mail.Outcome
	any, soft bool
}

func (v *verdict) add(o mail.Outcome) {
	soft := o.Status != mail.Failed
	if !v.any || soft || !v.soft {
		v.last = o
	}
	v.any, v.soft = true, v.soft || soft
}

func (v *verdict) outcome() *mail.Outcome {
	if v.any {
		return &v.last
	}
	return &mail.Outcome{Reply: mail.Reply{Code: 451, Enhanced: mail.Enhanced{4, 4, 4}, Text: "no host to deliver to"}}
}

// unresolved is the outcome of a failed look-up.
func (k hopKey) unresolved(name string, err error) *mail.Outcome {
	var r *mail.Reply
	if !errors.As(err, &r) {
		r = mail.NewReply(451, mail.Enhanced{4, 4, 3}, "name service has no answer for "+name).Because(err)
	}
	return &mail.Outcome{Status: k.status(r), Reply: *r, NextHop: name}
}

// refused is the outcome of a connection that did not come about.
func (k hopKey) refused(name string, addr netip.AddrPort, err error) mail.Outcome {
	o := mail.Outcome{NextHop: name, Address: addr.String()}
	var said *HostError
	var reply *mail.Reply
	switch {
	case errors.As(err, &said):
		o.Reply, o.Remote = said.Reply, said.Remote
	case errors.As(err, &reply):
		o.Reply = *reply
	default:
		text := fmt.Sprintf("no connection to %s [%s]", name, addr.Addr())
		o.Reply = *mail.NewReply(451, mail.Enhanced{4, 4, 1}, text).Because(err)
	}
	o.Status = k.status(&o.Reply)
	return o
}

// status is what a reply means when no message was sent. A fixed host that is
// not found, or turns us away for good, is a matter between it and the operator:
// mail waits for that to be mended instead of failing all at once.
func (k hopKey) status(r *mail.Reply) mail.Status {
	if r.Permanent() && (k.kind() == ViaMX || k.secure && lacksTLS(r)) {
		return mail.Failed
	}
	return mail.Deferred
}

// lacksTLS reports that a host cannot have a message that requires TLS, by the
// codes of RFC 8689 §4.2.1: its sender is to hear of that, whoever chose the host.
func lacksTLS(r *mail.Reply) bool {
	return r.Enhanced == mail.Enhanced{5, 7, 30} || r.Enhanced == mail.Enhanced{5, 7, 10}
}

// hosts returns the hosts of a next hop in the order in which to try them.
func (k hopKey) hosts() ([]host, error) {
	switch {
	case k.raw:
		return split([]string{k.target})
	case k.kind() == ViaSmarthost:
		return split(k.route.Hosts)
	}
	return k.exchangers(), nil
}

// exchangers returns the hosts of a site.
func (k hopKey) exchangers() (hs []host) {
	for _, mx := range k.site.order() {
		hs = append(hs, host{mx.Host, k.route.port()})
	}
	return hs
}

func split(hostports []string) ([]host, error) {
	var hs []host
	for _, hp := range hostports {
		name, port, err := net.SplitHostPort(hp)
		if err != nil {
			return nil, badHop(hp, err)
		}
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 || name == "" {
			return nil, badHop(hp, err)
		}
		hs = append(hs, host{name, uint16(n)})
	}
	return hs, nil
}

// badHop is for a next hop that only a stage can have made up: ours to mend.
func badHop(hp string, err error) error {
	return mail.NewReply(451, mail.Enhanced{4, 3, 5}, fmt.Sprintf("next hop %q is not host:port", hp)).Because(err)
}

// addresses returns the addresses of a host that mail may go to.
//
// An MX whose addresses are all private fails for good (5.4.4) and is not
// deferred: what the domain publishes sends its mail to nobody outside, the
// sender had better hear that today than in five days, and a route for a network
// of one's own says allow_private. A raw next hop that must be outside is
// deferred: it is the operator's to grant.
func (s *Scheduler) addresses(ctx context.Context, k hopKey, name string) ([]netip.Addr, error) {
	addrs, err := s.lookup4(ctx, name)
	if err != nil || !k.publicOnly() {
		return addrs, err
	}
	public := slices.DeleteFunc(slices.Clone(addrs), private)
	if len(public) > 0 {
		return public, nil
	}
	if k.raw {
		s.log.Warn("next hop has private addresses only; a grant whose next_hops writes it out, without a pattern, would deliver there",
			"next_hop", k.target, "addresses", addrs)
		return nil, mail.NewReply(451, mail.Enhanced{4, 4, 4}, "next hop "+k.target+" has no public address")
	}
	s.log.Warn("mail exchanger has private addresses only; allow_private = true in the route would deliver there",
		"route", k.route.Name, "host", name, "addresses", addrs)
	return nil, mail.NewReply(550, mail.Enhanced{5, 4, 4}, "host "+name+" has no public address")
}

// publicOnly reports whether private addresses are left out. What a route allows
// its mail exchangers is nothing to a next hop that a stage chose.
func (k hopKey) publicOnly() bool {
	if k.raw {
		return k.outside
	}
	return k.kind() == ViaMX && !k.route.AllowPrivate
}

func (s *Scheduler) lookup4(ctx context.Context, name string) ([]netip.Addr, error) {
	if ip, ok := mail.LiteralIP(name); ok {
		return []netip.Addr{ip}, nil
	}
	if ip, err := netip.ParseAddr(name); err == nil {
		return []netip.Addr{ip.Unmap()}, nil
	}
	addrs, err := s.o.Resolver.LookupIP(ctx, name)
	if err == nil && len(addrs) == 0 {
		err = mail.NewReply(451, mail.Enhanced{4, 4, 4}, "host "+name+" has no address")
	}
	return addrs, err
}
