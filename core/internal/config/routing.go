// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// routing reads the rules and checks that each can match and the last one
// always does.
func (d *decoder) routing(c *Config, root *node) {
	n := root.child("routing")
	if n == nil {
		d.fault(hcl.Range{}, "there is no routing block", "expected\n  routing {\n    rule {\n      route = "+d.suggestRef("route", "")+"\n    }\n  }")
		return
	}
	rules := n.children("rule")
	for _, r := range rules {
		d.rule(c, r)
	}
	if len(rules) == 0 || d.conditional(rules[len(rules)-1]) {
		d.openEnd(n, rules)
	}
}

// conditional reports whether the rule names domains, valid or not.
func (d *decoder) conditional(n *node) bool {
	_, ok := n.args["domains"]
	return ok
}

func (d *decoder) openEnd(n *node, rules []*node) {
	rng, what := n.rng, "routing has no rule"
	if len(rules) > 0 {
		rng, what = rules[len(rules)-1].rng, "the last rule does not match every domain"
	}
	d.fault(rng, what, "end with a rule without domains:\n  rule {\n    route = "+d.suggestRef("route", "")+"\n  }")
}

// rule adds a rule to c, unless its list of domains is empty: then it matches
// nothing.
func (d *decoder) rule(c *Config, n *node) {
	r := Rule{Accept: arg[bool](n, "accept"), Route: arg[string](n, "route"), Pos: d.pos(n.rng), Recipients: d.recipients(n)}
	if !d.conditional(n) {
		d.checkOpenRelay(n, r)
		d.checkReached(c, n)
		c.Rules = append(c.Rules, r)
		return
	}
	domains := arg[[]string](n, "domains")
	if n.has("domains") && len(domains) == 0 {
		d.warn(n.args["domains"].rng, "this list of domains is empty: the rule matches nothing", "a rule without the argument domains matches all")
	}
	for _, domain := range domains {
		d.ruleDomain(c, n, &r, domain)
	}
	if len(r.Domains) > 0 {
		n.set("domains", r.Domains)
		c.Rules = append(c.Rules, r)
	}
}

func (d *decoder) ruleDomain(c *Config, n *node, r *Rule, domain string) {
	rng := n.args["domains"].rng
	if slices.Contains(r.Domains, domain) {
		d.warn(rng, fmt.Sprintf("the domain %q stands here twice", domain), "")
		return
	}
	if by := covering(c.Rules, domain); by != nil {
		d.fault(rng, fmt.Sprintf("the domain %q never reaches this rule", domain), "the rule at "+by.Pos.String()+" matches it first")
		return
	}
	r.Domains = append(r.Domains, domain)
}

func (d *decoder) checkReached(c *Config, n *node) {
	if by := covering(c.Rules, ""); by != nil {
		d.fault(n.rng, "no message reaches this rule", "the rule at "+by.Pos.String()+" matches every domain")
	}
}

// covering returns the first rule that matches all that pattern matches.
func covering(rules []Rule, pattern string) *Rule {
	for i := range rules {
		if len(rules[i].Domains) == 0 || pattern != "" && slices.ContainsFunc(rules[i].Domains, func(p string) bool { return covers(p, pattern) }) {
			return &rules[i]
		}
	}
	return nil
}

// covers reports whether pattern p matches the domain, or all subdomains, that
// q stands for.
func covers(p, q string) bool {
	return p == q || strings.HasPrefix(p, ".") && strings.HasSuffix(q, p)
}

// checkOpenRelay refuses a rule that would take mail for everybody from
// anybody.
func (d *decoder) checkOpenRelay(n *node, r Rule) {
	if r.Accept {
		d.fault(n.args["accept"].rng, "accept = true without domains would make an open relay", "name the domains, or let relay_from of a listener name the clients")
	}
}
