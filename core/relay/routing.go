// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"slices"
	"strings"

	"github.com/postroad-mail/postroad/core/internal/config"
	"github.com/postroad-mail/postroad/core/internal/delivery"
	"github.com/postroad-mail/postroad/core/mail"
)

// routing answers by which route a recipient goes, and for whom we take mail.
type routing struct {
	rules  []config.Rule
	routes map[string]*delivery.Route
	local  map[string]bool // routes that deliver on this machine

	providers []provider
}

// provider is one of pipeline.hcl, as delivery knows it and with its hosts.
type provider struct {
	*config.Provider
	as *delivery.Provider
}

func newRouting(c *config.Config) *routing {
	r := &routing{rules: c.Rules, routes: map[string]*delivery.Route{}, local: map[string]bool{}}
	sources := map[string]*delivery.Source{}
	for _, s := range c.Sources {
		sources[s.Name] = &delivery.Source{Name: s.Name, Addresses: s.Addresses, Hostname: s.Hostname}
	}
	for i := range c.Providers {
		p := &c.Providers[i]
		r.providers = append(r.providers, provider{p, &delivery.Provider{Name: p.Name, Connections: p.Connections, Rate: delivery.Rate(p.Rate)}})
	}
	for i := range c.Routes {
		r.routes[c.Routes[i].Name] = deliveryRoute(&c.Routes[i], sources)
		r.local[c.Routes[i].Name] = c.Routes[i].Kind == "maildir"
	}
	return r
}

// rule returns the first rule that matches the domain, in A-labels or U-labels; nil
// without rules.
func (r *routing) rule(domain string) *config.Rule {
	domain = config.SameDomain(domain)
	for i := range r.rules {
		if matches(r.rules[i].Domains, domain) {
			return &r.rules[i]
		}
	}
	return nil
}

// routeOf returns the name of the route that a recipient goes by: what a stage
// chose, else what the rules say.
func (r *routing) routeOf(rcpt mail.Recipient) string {
	if rcpt.Route != "" {
		return rcpt.Route
	}
	if rule := r.rule(rcpt.Address.Domain()); rule != nil {
		return rule.Route
	}
	return ""
}

// providerOf returns the provider of which all hosts of a site are; nil when there
// is none.
func (r *routing) providerOf(hosts []string) *delivery.Provider {
	for i := range r.providers {
		foreign := func(host string) bool { return !r.providers[i].Covers(host) }
		if !slices.ContainsFunc(hosts, foreign) {
			return r.providers[i].as
		}
	}
	return nil
}

// ours reports whether mail for the domain is taken from anyone: a rule that
// names it delivers it here, or says accept.
func (r *routing) ours(domain string) bool {
	rule := r.rule(domain)
	return rule != nil && len(rule.Domains) > 0 && (rule.Accept || r.local[rule.Route])
}

// matches reports whether domain is one of domains; ".example.org" stands for
// the subdomains of example.org, and no domains for all.
func matches(domains []string, domain string) bool {
	for _, d := range domains {
		if d == domain || strings.HasPrefix(d, ".") && strings.HasSuffix(domain, d) {
			return true
		}
	}
	return len(domains) == 0
}

// mayRelay reports whether a client may send anywhere: who has logged in, and who
// comes from a network in relay_from.
func mayRelay(l *config.Listener, c *mail.Client) bool {
	if c.Authenticated {
		return true
	}
	addr := c.Addr.Addr()
	for _, p := range l.RelayFrom {
		if p.Contains(addr.Unmap()) {
			return true
		}
	}
	return false
}

// deliveryRoute is a route of pipeline.hcl as delivery knows it.
func deliveryRoute(c *config.Route, sources map[string]*delivery.Source) *delivery.Route {
	r := &delivery.Route{Name: c.Name, Schedule: delivery.Schedule(c.Schedule), DSN: dsnPolicy(c.DSN), Pipeline: c.Pipeline, Rate: delivery.Rate(c.Rate)}
	for _, name := range slices.Concat(c.MX.Sources, c.Smarthost.Sources) { // one of both is empty
		r.Sources = append(r.Sources, sources[name])
	}
	for _, k := range c.Classes {
		r.Classes = append(r.Classes, delivery.Class{Name: k.Name, Lowest: k.Lowest, Highest: k.Highest, Schedule: delivery.Schedule(k.Schedule)})
	}
	switch c.Kind {
	case "mx":
		r.Kind, r.Port, r.TLS = delivery.ViaMX, uint16(c.MX.Port), c.MX.TLS
		r.AllowPrivate, r.Connections = c.MX.AllowPrivate, c.MX.Connections
	case "smarthost":
		r.Kind, r.Hosts, r.TLS, r.Connections = delivery.ViaSmarthost, c.Smarthost.Hosts, c.Smarthost.TLS, c.Smarthost.Connections
	case "maildir":
		r.Kind, r.Root, r.Create, r.Mailboxes = delivery.ViaMaildir, c.Maildir.Root, c.Maildir.Create, c.Maildir.Mailboxes
	default:
		r.Kind = delivery.ViaDiscard
	}
	return r
}

// dsnPolicy is the policy on reports that pipeline.hcl spells so.
func dsnPolicy(s string) delivery.DSN {
	switch s {
	case "off":
		return delivery.DSNOff
	case "full":
		return delivery.DSNFull
	}
	return delivery.DSNHeaders
}
