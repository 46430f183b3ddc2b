// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"net/netip"
	"strings"
)

// Provider is somebody whose hosts many domains name as their mail exchangers.
type Provider struct {
	Name        string
	MX          []string // patterns of all its hosts, lower case: a name, or "*.example.org" for what is below
	Connections int      // at once to all its sites; 0: each site has the route's
	Rate        Rate     // to all its sites; zero: each site has the route's
	Pos         Pos
}

// Covers reports whether a host, in lower case, is the provider's.
func (p *Provider) Covers(host string) bool {
	for _, pattern := range p.MX {
		if coversHost(pattern, host) {
			return true
		}
	}
	return false
}

// coversHost reports whether pattern matches the host, or all hosts, that q
// stands for.
func coversHost(pattern, q string) bool {
	below, wild := strings.CutPrefix(pattern, "*")
	return pattern == q || wild && strings.HasSuffix(q, below)
}

// Source is where connections leave from.
type Source struct {
	Name      string
	Addresses []netip.Addr // one of each family at most
	Hostname  string       // our name in EHLO; empty: Server.Hostname
	Pos       Pos
}

func providerSpec() *blockSpec {
	return &blockSpec{
		name: "provider", labels: []string{"name"}, count: many, example: providerExample,
		doc: "Limits for all destinations of a provider together, whichever domains they are of. A destination is the provider's when all of its mail exchangers are: a domain with a host of somebody else beside them has the limits of its route. They hold for each source, over all routes.",
		args: []argSpec{
			{"mx", listKind[string](exchangerKind(), "list of patterns"), ``, true, "Its mail exchangers. No host may be of two providers."},
			{"connections", numberKind(1, 1000), ``, false, "Connections at once to all of them, in place of those of the route. Destinations that are short of connections take turns."},
			{"rate", rateKind(), ``, false, "Messages per time to all of them, in place of the route's."},
		},
	}
}

func sourceSpec() *blockSpec {
	return &blockSpec{
		name: "source", labels: []string{"name"}, count: many, example: sourceExample,
		doc: "Where connections to next hops leave from. A source that cannot be used, because the machine does not have the address, is left out for a minute at a time; mail without a usable one waits, and that is no attempt.",
		args: []argSpec{
			{"addresses", listKind[netip.Addr](localAddressKind(), "list of addresses"), ``, true, "Addresses of this machine: one IPv4, one IPv6, or both. A host of a family that is missing cannot be reached from here."},
			{"hostname", hostnameKind(), ``, false, "Our name in EHLO, which the DNS should lead to these addresses and back; server.hostname if left out."},
		},
	}
}

func sourcesArg() argSpec {
	return argSpec{"sources", listKind[string](refKind("source"), "list of source references"), `[]`, false, "Where connections leave from: the messages take them in turn. The system chooses if left out. Limits hold for each."}
}

// exchangerKind reads a name of a host, or "*.example.org" for all below it.
func exchangerKind() kind {
	want := `a host, such as "mx.example.org", or "*.example.org" for all hosts below it`
	return scalarKind("pattern", want, func(_ *decoder, s string) (string, error) {
		name := strings.ToLower(strings.TrimPrefix(s, "*."))
		if _, err := netip.ParseAddr(name); err == nil || !isWebHost(name) || name == "*" || !strings.Contains(name, ".") {
			return "", fmt.Errorf("%q is neither the name of a host nor a pattern of such names", s)
		}
		return strings.ToLower(s), nil
	}, same)
}

// localAddressKind reads an address that this machine may have.
func localAddressKind() kind {
	want := `an IP address, such as "192.0.2.1" or "2001:db8::1"`
	return scalarKind("address", want, func(_ *decoder, s string) (netip.Addr, error) {
		a, err := netip.ParseAddr(s)
		if err != nil {
			return a, fmt.Errorf("%q is not an IP address", s)
		}
		if a = a.Unmap(); a.IsUnspecified() || a.IsMulticast() {
			return a, fmt.Errorf("nothing can leave from %q", s)
		}
		return a, nil
	}, netip.Addr.String)
}

// providers reads the providers; their patterns must not overlap.
func (d *decoder) providers(c *Config, root *node) {
	for _, n := range root.children("provider") {
		p := Provider{Name: n.name(), MX: arg[[]string](n, "mx"), Connections: int(arg[int64](n, "connections")), Rate: arg[Rate](n, "rate"), Pos: d.pos(n.rng)}
		switch {
		case n.has("mx") && len(p.MX) == 0:
			d.fault(n.args["mx"].rng, "mx is empty", `expected at least one pattern, such as ["*.example.org"]`)
		case n.args["connections"].expr == nil && n.args["rate"].expr == nil:
			d.fault(n.rng, fmt.Sprintf("provider %q limits nothing", p.Name), "expected connections or rate")
		}
		for i := range c.Providers {
			d.overlap(n, &c.Providers[i], p.MX)
		}
		c.Providers = append(c.Providers, p)
	}
}

// overlap reports the first pattern that has hosts of an earlier provider.
func (d *decoder) overlap(n *node, earlier *Provider, mx []string) {
	for _, pattern := range mx {
		for _, other := range earlier.MX {
			if coversHost(pattern, other) || coversHost(other, pattern) {
				d.fault(n.args["mx"].rng, fmt.Sprintf("%q and %q of provider %q have hosts in common", pattern, other, earlier.Name),
					"a host has one provider; the other one is at "+earlier.Pos.String())
				return
			}
		}
	}
}

func (d *decoder) source(n *node) Source {
	s := Source{Name: n.name(), Addresses: arg[[]netip.Addr](n, "addresses"), Hostname: arg[string](n, "hostname"), Pos: d.pos(n.rng)}
	if n.has("addresses") && len(s.Addresses) == 0 {
		d.fault(n.args["addresses"].rng, "addresses is empty", `expected at least one, such as ["192.0.2.1"]`)
	}
	families := map[bool]netip.Addr{}
	for _, a := range s.Addresses {
		if first, twice := families[a.Is4()]; twice {
			d.fault(n.args["addresses"].rng, fmt.Sprintf("%s and %s are of one family", first, a), "define a second source: a list of sources is taken in turn")
			break
		}
		families[a.Is4()] = a
	}
	return s
}

// sources reads the sources of a route, each once.
func (d *decoder) sources(n *node) []string {
	seen := map[string]bool{}
	names := arg[[]string](n, "sources")
	for _, name := range names {
		if seen[name] {
			d.fault(n.args["sources"].rng, fmt.Sprintf("the source %q stands here twice", name), "each takes its turn once")
		}
		seen[name] = true
	}
	return names
}
