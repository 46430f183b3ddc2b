// SPDX-License-Identifier: Apache-2.0

package resolver

import (
	"sync"
	"time"

	"github.com/miekg/dns"
)

// Bounds of the time for which answers are kept.
const (
	maxTTL         = time.Hour
	maxNegativeTTL = 5 * time.Minute
)

// cache keeps answers until their TTL has passed. It holds at most size of
// them; when it is full, one goes for each that comes.
type cache struct {
	size  int
	clock Clock

	mu sync.Mutex
	m  map[cacheKey]cacheEntry
}

type cacheKey struct {
	name  string
	qtype uint16
}

type cacheEntry struct {
	answer  *dns.Msg // nobody changes it
	expires time.Time
}

func newCache(size int, clock Clock) *cache {
	return &cache{size: size, clock: clock, m: map[cacheKey]cacheEntry{}}
}

// get returns an answer and for how long it is still good; 0 means that there is
// none.
func (c *cache) get(name string, qtype uint16) (*dns.Msg, time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.m[cacheKey{name, qtype}]
	if !ok {
		return nil, 0
	}
	return e.answer, e.expires.Sub(c.clock.Now())
}

// put keeps an answer and returns for how long.
func (c *cache) put(name string, qtype uint16, a *dns.Msg) time.Duration {
	ttl := lifetime(a)
	if ttl <= 0 {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	k := cacheKey{name, qtype}
	if _, ok := c.m[k]; !ok && len(c.m) >= c.size {
		c.evict()
	}
	c.m[k] = cacheEntry{a, c.clock.Now().Add(ttl)}
	return ttl
}

// evict takes one entry out: one that has expired, if there is one among some
// that are looked at (in random order), or any.
func (c *cache) evict() {
	now, looked := c.clock.Now(), 0
	var victim cacheKey
	for k, e := range c.m {
		victim = k
		if looked++; looked == 16 || !now.Before(e.expires) {
			break
		}
	}
	delete(c.m, victim)
}

// lifetime returns how long an answer may be kept: the smallest TTL in it, or
// for "there is nothing" what the SOA says (RFC 2308 §5); without one it is not
// kept.
func lifetime(a *dns.Msg) time.Duration {
	if a.Rcode == dns.RcodeSuccess && len(a.Answer) > 0 {
		return smallest(a.Answer, maxTTL)
	}
	for _, rr := range a.Ns {
		if soa, ok := rr.(*dns.SOA); ok {
			return min(smallest(a.Ns, maxNegativeTTL), time.Duration(soa.Minttl)*time.Second)
		}
	}
	return 0
}

func smallest(rrs []dns.RR, ttl time.Duration) time.Duration {
	for _, rr := range rrs {
		ttl = min(ttl, time.Duration(rr.Header().Ttl)*time.Second)
	}
	return ttl
}
