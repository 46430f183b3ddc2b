// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"

	"github.com/postroad-mail/postroad/core/internal/bucket"
	"github.com/postroad-mail/postroad/core/internal/clients"
	"github.com/postroad-mail/postroad/core/internal/config"
	"github.com/postroad-mail/postroad/core/internal/wasmhost"
	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/sdk/abi"
)

// Reasons of refusals of strangers.
const (
	refusedRate   = "client_rate"
	refusedName   = "reverse_dns"
	refusedListed = "dnsbl"
)

// rates are what a listener's strangers may do in a time; nil: as much as they like.
type rates struct{ connections, messages, recipients *bucket.Buckets }

// openRates makes the buckets of a listener. They outlive generations.
func (g *generation) openRates(l *config.Listener, p parts) rates {
	get := func(what string, r config.Rate) *bucket.Buckets { return g.openRate(l, what, r, p) }
	return rates{get("connections", l.Clients.Connects), get("messages", l.Clients.Messages), get("recipients", l.Clients.Recipients)}
}

// openRate makes buckets of a listener's own, nil where there is no rate.
func (g *generation) openRate(l *config.Listener, what string, r config.Rate, p parts) *bucket.Buckets {
	if r.Count == 0 {
		return nil
	}
	name := "listener " + l.Name + " " + what // no bucket of pipeline.hcl is spelled so
	return p.buckets.get(&config.Bucket{Name: name, Rate: r.Count, Per: r.Per, Burst: r.Count}, &g.live)
}

// stranger is what a session knows of a client that it does not trust.
type stranger struct {
	rates
	key     string // by which it is counted
	most    int    // recipients that may be refused
	refused int
}

// strange returns what a session's client is counted by, nil when it is no stranger.
func (s *session) strange() *stranger {
	l, _ := s.d.at(s.g)
	addr := s.client.Addr.Addr()
	if l == nil || mayRelay(l, s.client) || within(l.Clients.Trusted, addr) || !addr.IsValid() {
		return nil
	}
	if s.stranger == nil {
		s.stranger = &stranger{key: mail.ClientNetwork(addr).String()}
	}
	s.stranger.rates, s.stranger.most = s.g.rates[l.Name], l.Clients.Refused
	return s.stranger
}

func within(nets []netip.Prefix, addr netip.Addr) bool {
	return slices.ContainsFunc(nets, func(p netip.Prefix) bool { return p.Contains(addr.Unmap()) })
}

// over reports whether a stranger has used its rate up.
func (s *stranger) over(b *bucket.Buckets) bool {
	if s == nil || b == nil {
		return false
	}
	ok, _ := b.Take(s.key, 1)
	return !ok
}

// meet judges a client before the banner: how often it comes, its name, and what
// lists say of it.
func (s *session) meet(ctx context.Context) *mail.Reply {
	c := s.strange()
	if c == nil {
		return nil
	}
	if c.over(c.connections) {
		return s.asked(refusedRate, mail.NewReply(421, mail.Enhanced{4, 7, 0}, "too many connections from you, try again later"))
	}
	l, _ := s.d.at(s.g)
	if r := s.asked(refusedName, s.name(ctx, l.Clients.ReverseDNS)); r != nil {
		return r
	}
	return s.asked(refusedListed, s.listed(ctx, &l.Clients))
}

// name looks the client's name up.
func (s *session) name(ctx context.Context, policy string) *mail.Reply {
	if policy == "off" {
		return nil
	}
	name, err := clients.Name(ctx, s.d.r.lookups(), s.client.Addr.Addr().Unmap())
	s.client.Name = name
	switch {
	case policy != "require" || name != "":
		return nil
	case err != nil:
		return mail.NewReply(450, mail.Enhanced{4, 7, 25}, "your name cannot be looked up now, try again later")
	}
	return mail.NewReply(550, mail.Enhanced{5, 7, 25}, "your address has no name that leads back to it")
}

// listed asks the lists.
func (s *session) listed(ctx context.Context, c *config.Clients) *mail.Reply {
	if len(c.Lists) == 0 {
		return nil
	}
	lists := make([]clients.List, len(c.Lists))
	for i, l := range c.Lists {
		lists[i] = clients.List(l)
	}
	weight, zones, err := clients.Listed(ctx, s.d.r.lookups(), lists, s.client.Addr.Addr().Unmap())
	if err != nil {
		s.d.r.log.Warn("lists of clients could not be asked", "session", s.client.SessionID, "error", err)
	}
	if weight < c.Threshold {
		return nil
	}
	return mail.NewReply(554, mail.Enhanced{5, 7, 1}, "your address is listed by "+strings.Join(zones, ", "))
}

// greeting judges what a stranger calls itself (RFC 5321 §4.1.4 forbids refusing a
// name only because it is not the client's).
func (s *session) greeting() *mail.Reply {
	l, _ := s.d.at(s.g)
	if s.strange() == nil || l.Clients.Helo == "off" {
		return nil
	}
	name := s.client.Helo
	_, notAnAddress := netip.ParseAddr(name)
	switch {
	case strings.EqualFold(name, s.g.config.Server.Hostname):
		return mail.NewReply(550, mail.Enhanced{5, 7, 1}, "that is our own name")
	case notAnAddress == nil:
		return mail.NewReply(550, mail.Enhanced{5, 7, 1}, "an address stands in brackets (RFC 5321 section 4.1.3)")
	case !strings.Contains(name, ".") && !strings.HasPrefix(name, "["):
		return mail.NewReply(550, mail.Enhanced{5, 7, 1}, "a full domain name is needed")
	}
	return nil
}

// tooMuchMail refuses MAIL of a stranger that sends too fast.
func (s *session) tooMuchMail() *mail.Reply {
	if c := s.strange(); c == nil || !c.over(c.messages) {
		return nil
	}
	return mail.NewReply(450, mail.Enhanced{4, 7, 1}, "too many messages from you, try again later")
}

// tooManyRecipients refuses RCPT of a stranger that names too many in a time.
func (s *stranger) tooManyRecipients() *mail.Reply {
	if s == nil || !s.over(s.recipients) {
		return nil
	}
	return mail.NewReply(452, mail.Enhanced{4, 5, 3}, "too many recipients from you, try again later")
}

// harvests counts a recipient that was refused, and ends the session of a stranger
// that tries one after the other.
func (s *stranger) harvests(r *mail.Reply) *mail.Reply {
	if s == nil || r == nil || !r.Permanent() {
		return r
	}
	if s.refused++; s.refused < s.most {
		return r
	}
	return mail.NewReply(421, mail.Enhanced{4, 7, 0}, "too many recipients that are refused, closing")
}

// lookups asks the DNS about clients.
func (r *Relay) lookups() clients.Resolver { return clientDNS{stageDNS(r.dns)} }

type clientDNS struct{ r wasmhost.Resolver }

// Addresses implements clients.Resolver.
func (d clientDNS) Addresses(ctx context.Context, name string) ([]string, error) {
	return d.ask(ctx, name, typeA)
}

// Six implements clients.Resolver.
func (d clientDNS) Six(ctx context.Context, name string) ([]string, error) {
	return d.ask(ctx, name, typeAAAA)
}

// Names implements clients.Resolver.
func (d clientDNS) Names(ctx context.Context, ip netip.Addr) ([]string, error) {
	return d.ask(ctx, ip.String(), typePTR)
}

func (d clientDNS) ask(ctx context.Context, name string, rrtype uint16) ([]string, error) {
	a, err := d.r.Lookup(ctx, name, rrtype)
	if errors.Is(err, abi.ErrNotFound) {
		return nil, clients.ErrNone
	}
	if err != nil {
		return nil, err
	}
	var all []string
	for _, rec := range a.Records {
		all = append(all, string(rec.Data))
	}
	return all, nil
}
