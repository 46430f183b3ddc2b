// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Bounds of what is remembered of domains.
const (
	maxSites  = 50000       // domains whose site is known
	leastSite = time.Minute // that long a site is good at least, whatever the DNS says
	mostSite  = time.Hour   // and at most
)

// site is where the mail for domains with one set of mail exchangers goes. Two
// sets are one when they have the same hosts in the same order of preference;
// the numbers in which a domain writes that order do not matter. A domain
// without MX, and an address literal, is a site of its own. Nobody changes a
// site.
type site struct {
	id    string
	hosts []MX // the best first, those of equal preference by name; Pref is a rank from 0
	names []string
}

// siteOf returns the site of a set of mail exchangers, at least one.
func siteOf(mxs []MX) *site {
	hosts := make([]MX, len(mxs))
	for i, m := range mxs {
		hosts[i] = MX{Host: strings.ToLower(strings.TrimSuffix(m.Host, ".")), Pref: m.Pref}
	}
	slices.SortFunc(hosts, func(a, b MX) int {
		return cmp.Or(cmp.Compare(a.Pref, b.Pref), strings.Compare(a.Host, b.Host))
	})
	hosts = slices.CompactFunc(hosts, func(a, b MX) bool { return a.Pref == b.Pref && a.Host == b.Host })
	st := &site{hosts: ranked(hosts)}
	for _, h := range st.hosts {
		st.id += strconv.Itoa(int(h.Pref)) + " " + h.Host + "\n"
	}
	st.names = hostNames(st.hosts)
	return st
}

// hostNames returns the names of hosts, each once.
func hostNames(hosts []MX) (names []string) {
	for _, h := range hosts {
		if !slices.Contains(names, h.Host) {
			names = append(names, h.Host)
		}
	}
	return names
}

// ranked puts the rank of each preference in its place. hosts are sorted.
func ranked(hosts []MX) []MX {
	rank, before := uint16(0), hosts[0].Pref
	for i := range hosts {
		if hosts[i].Pref != before {
			rank, before = rank+1, hosts[i].Pref
		}
		hosts[i].Pref = rank
	}
	return hosts
}

// order returns the hosts in the order in which to try them: those of equal
// preference in any order (RFC 5321 §5.1).
func (st *site) order() []MX {
	mxs := slices.Clone(st.hosts)
	rand.Shuffle(len(mxs), func(i, j int) { mxs[i], mxs[j] = mxs[j], mxs[i] })
	slices.SortStableFunc(mxs, func(a, b MX) int { return int(a.Pref) - int(b.Pref) })
	return mxs
}

// maxNamed is how many hosts of a site are named to people.
const maxNamed = 3

// String returns the site as logs and people see it.
func (st *site) String() string {
	var names []string
	for _, h := range st.hosts[:min(len(st.hosts), maxNamed)] {
		names = append(names, h.Host)
	}
	if more := len(st.hosts) - maxNamed; more > 0 {
		names = append(names, strconv.Itoa(more)+" more")
	}
	return "site of MX " + strings.Join(names, ", ")
}

// sites are the sites of domains, as the DNS had them. A site of domains that
// are known is one value, so that pointers to it can be compared.
type sites struct {
	mu      sync.Mutex
	domains map[string]placed
	byID    map[string]*site
}

// placed is the site of a domain, and until when that is good.
type placed struct {
	site  *site
	until time.Time
}

func (t *sites) init() { t.domains, t.byID = map[string]placed{}, map[string]*site{} }

// of returns the site of a domain; nil when it has to be looked up.
func (t *sites) of(now time.Time, domain string) *site {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.domains[domain]; now.Before(p.until) {
		return p.site
	}
	return nil
}

// moved reports whether a domain is known to be at another site than st.
func (t *sites) moved(domain string, st *site) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	p, ok := t.domains[domain]
	return ok && p.site != st
}

// note keeps the site of a domain for ttl, within bounds, and returns the one
// value that stands for it. When the table is full, one domain goes for each
// that comes.
func (t *sites) note(now time.Time, domain string, st *site, ttl time.Duration) *site {
	t.mu.Lock()
	defer t.mu.Unlock()
	if known := t.byID[st.id]; known != nil {
		st = known
	}
	t.byID[st.id] = st
	if _, ok := t.domains[domain]; !ok && len(t.domains) >= maxSites {
		for victim := range t.domains {
			delete(t.domains, victim)
			break
		}
	}
	t.domains[domain] = placed{st, now.Add(min(max(ttl, leastSite), mostSite))}
	return st
}

// sweep forgets what is no longer good. used are sites that have mail or
// connections.
func (t *sites) sweep(now time.Time, used map[*site]bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for domain, p := range t.domains {
		if now.Before(p.until) {
			used[p.site] = true
			continue
		}
		delete(t.domains, domain)
	}
	for id, st := range t.byID {
		if !used[st] {
			delete(t.byID, id)
		}
	}
}

// sharedDomains returns domains that are known to be at st, sorted, at most so many.
func (t *sites) sharedDomains(now time.Time, st *site, most int) (domains []string, more int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for domain, p := range t.domains {
		if p.site == st && now.Before(p.until) {
			domains = append(domains, domain)
		}
	}
	slices.Sort(domains)
	kept := domains[:min(most, len(domains))]
	return kept, len(domains) - len(kept)
}
