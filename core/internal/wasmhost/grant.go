// SPDX-License-Identifier: Apache-2.0

package wasmhost

import (
	"fmt"
	"regexp"
	"sort"
	"strings"
	"time"

	"github.com/postroad-mail/postroad/core/internal/grant"
)

// Grant is what a stage may touch, in the spelling of pipeline.hcl; a manifest
// asks with the same words. Everything that is not in it is denied.
type Grant struct {
	Read     []string      `json:"read"`      // envelope, headers, body, auth
	Write    []string      `json:"write"`     // headers, body, recipients, sender, queue, ehlo
	Routes   []string      `json:"routes"`    // names of routes that it may choose; "*" = any
	NextHops []string      `json:"next_hops"` // patterns of raw "host:port" that it may choose
	Stores   []string      `json:"kv"`        // names of stores; "*" = any
	Buckets  []string      `json:"buckets"`   // names of buckets; "*" = any
	DNS      bool          `json:"dns"`       // questions to the DNS
	HTTP     []string      `json:"http"`      // hosts that it may ask: "[scheme://]host[:port]", host may begin with "*."
	DKIM     []string      `json:"dkim"`      // names of signing keys; reserved
	Emit     bool          `json:"emit"`      // new messages
	Secrets  []string      `json:"secrets"`   // names of secrets; "*" = any
	Tick     time.Duration `json:"-"`         // interval of phase tick, 0 = never; JSON "tick": "1m", or true for AnyTick
}

// AnyTick as the Tick of a manifest leaves the interval to the operator.
const AnyTick time.Duration = -1

const minTick = time.Second

// power is a set of the words of read and write, and of the other grants.
type power uint32

const (
	readEnvelope power = 1 << iota
	readHeaders
	readBody
	readAuth
	writeHeaders
	writeBody
	writeRecipients
	writeSender
	writeQueue
	writeEHLO
	choose // routes or next_hops
	useStores
	useBuckets
	useDNS
	useHTTP
	useEmit
	useSecrets
)

var readWords = map[string]power{"envelope": readEnvelope, "headers": readHeaders, "body": readBody, "auth": readAuth}

var writeWords = map[string]power{
	"headers": writeHeaders, "body": writeBody, "recipients": writeRecipients, "sender": writeSender,
	"queue": writeQueue, "ehlo": writeEHLO,
}

// hostForm is the form of an entry of http.
const hostForm = `^(https?://)?(\*|(\*\.)?[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?|\[[0-9A-Fa-f:.]+\])(:([0-9]{1,5}|\*))?$`

// check reports a word that no grant has.
func (g *Grant) check() error {
	if err := checkWords("read", g.Read, readWords); err != nil {
		return err
	}
	if err := checkWords("write", g.Write, writeWords); err != nil {
		return err
	}
	for _, p := range g.NextHops {
		if err := grant.CheckHop(p); err != nil {
			return fmt.Errorf("next_hops pattern %w; write \"*.example.org:25\", or \"*\" for all", err)
		}
	}
	host := regexp.MustCompile(hostForm)
	for _, p := range g.HTTP {
		if !host.MatchString(p) {
			return fmt.Errorf("http = [%q] is not a host; write \"api.example.org\", \"*.example.org\", \"https://api.example.org:8443\" or \"*\"", p)
		}
	}
	if g.Tick != 0 && g.Tick != AnyTick && g.Tick < minTick {
		return fmt.Errorf("tick = %q is out of range; give \"1s\" or more", g.Tick)
	}
	return nil
}

func checkWords(list string, words []string, known map[string]power) error {
	for _, w := range words {
		if known[w] == 0 {
			return fmt.Errorf("%s = [%q] is not a known grant; known are %s", list, w, strings.Join(sorted(known), ", "))
		}
	}
	return nil
}

func sorted[V any](m map[string]V) []string {
	ws := make([]string, 0, len(m))
	for w := range m {
		ws = append(ws, w)
	}
	sort.Strings(ws)
	return ws
}

// powers folds the grant into one set.
func (g *Grant) powers() power {
	var p power
	for _, w := range g.Read {
		p |= readWords[w]
	}
	for _, w := range g.Write {
		p |= writeWords[w]
	}
	for _, use := range []struct {
		granted bool
		power   power
	}{
		{len(g.Routes)+len(g.NextHops) > 0, choose},
		{len(g.Stores) > 0, useStores},
		{len(g.Buckets) > 0, useBuckets},
		{g.DNS, useDNS},
		{len(g.HTTP) > 0, useHTTP},
		{g.Emit, useEmit},
		{len(g.Secrets) > 0, useSecrets},
	} {
		if use.granted {
			p |= use.power
		}
	}
	return p
}

// missing returns the part of wants that g lacks. A wanted "*" asks for whatever
// the operator gives, and lacks nothing.
func (g *Grant) missing(wants Grant) Grant {
	lack := Grant{
		Read:     grant.Names.Lacking(wants.Read, g.Read),
		Write:    grant.Names.Lacking(wants.Write, g.Write),
		Routes:   grant.Names.Lacking(wants.Routes, g.Routes),
		NextHops: grant.Hops.Lacking(wants.NextHops, g.NextHops),
		Stores:   grant.Names.Lacking(wants.Stores, g.Stores),
		Buckets:  grant.Names.Lacking(wants.Buckets, g.Buckets),
		DNS:      wants.DNS && !g.DNS,
		HTTP:     grant.Hosts.Lacking(wants.HTTP, g.HTTP),
		DKIM:     grant.Names.Lacking(wants.DKIM, g.DKIM),
		Emit:     wants.Emit && !g.Emit,
		Secrets:  grant.Names.Lacking(wants.Secrets, g.Secrets),
	}
	if g.Tick == 0 {
		lack.Tick = wants.Tick
	}
	return lack
}

// narrow returns wants ∩ g: what a module with a manifest gets. Hosts and next
// hops stay as the operator wrote them, since a name says more than a pattern
// that covers it; who uses them has the manifest's list too.
func (g *Grant) narrow(wants Grant) Grant {
	n := Grant{
		Read:     grant.Names.Narrow(wants.Read, g.Read),
		Write:    grant.Names.Narrow(wants.Write, g.Write),
		Routes:   grant.Names.Narrow(wants.Routes, g.Routes),
		NextHops: grant.Hops.Narrow(wants.NextHops, g.NextHops),
		Stores:   grant.Names.Narrow(wants.Stores, g.Stores),
		Buckets:  grant.Names.Narrow(wants.Buckets, g.Buckets),
		DNS:      wants.DNS && g.DNS,
		HTTP:     grant.Hosts.Narrow(wants.HTTP, g.HTTP),
		DKIM:     grant.Names.Narrow(wants.DKIM, g.DKIM),
		Emit:     wants.Emit && g.Emit,
		Secrets:  grant.Names.Narrow(wants.Secrets, g.Secrets),
	}
	if wants.Tick != 0 {
		n.Tick = g.Tick
	}
	return n
}

// hcl renders the grant as a block to paste into pipeline.hcl; stores and
// buckets are references there.
func (g *Grant) hcl() string {
	var b strings.Builder
	b.WriteString("grant {\n")
	writeList(&b, "read", quoted(g.Read, ""))
	writeList(&b, "write", quoted(g.Write, ""))
	writeList(&b, "routes", quoted(g.Routes, "route."))
	writeList(&b, "next_hops", quoted(g.NextHops, ""))
	writeList(&b, "kv", quoted(g.Stores, "store."))
	writeList(&b, "buckets", quoted(g.Buckets, "bucket."))
	writeFlag(&b, "dns", g.DNS)
	writeList(&b, "http", quoted(g.HTTP, ""))
	writeList(&b, "dkim", quoted(g.DKIM, ""))
	writeFlag(&b, "emit", g.Emit)
	writeList(&b, "secrets", quoted(g.Secrets, ""))
	switch {
	case g.Tick > 0:
		fmt.Fprintf(&b, "  tick = %q\n", short(g.Tick))
	case g.Tick == AnyTick:
		b.WriteString("  tick = \"1m\"\n")
	}
	return b.String() + "}"
}

// short spells an interval as people do: "1m", not "1m0s".
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

func quoted(words []string, ref string) []string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = ref + w
		if ref == "" || w == "*" {
			out[i] = fmt.Sprintf("%q", w)
		}
	}
	return out
}

func writeList(b *strings.Builder, key string, items []string) {
	if len(items) > 0 {
		fmt.Fprintf(b, "  %s = [%s]\n", key, strings.Join(items, ", "))
	}
}

func writeFlag(b *strings.Builder, key string, on bool) {
	if on {
		fmt.Fprintf(b, "  %s = true\n", key)
	}
}

func (g *Grant) empty() bool { return g.hcl() == "grant {\n}" }
