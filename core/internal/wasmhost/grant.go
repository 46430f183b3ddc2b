// SPDX-License-Identifier: Apache-2.0

package wasmhost

import (
	"fmt"
	"path"
	"sort"
	"strings"
)

// Grant is what a stage may touch, in the spelling of pipeline.hcl; a manifest
// asks with the same words. Everything that is not in it is denied.
type Grant struct {
	Read     []string `json:"read"`      // envelope, headers, body
	Write    []string `json:"write"`     // headers, body, recipients, sender
	Routes   []string `json:"routes"`    // names of routes that it may choose; "*" = any
	NextHops []string `json:"next_hops"` // patterns of raw "host:port" that it may choose
	Stores   []string `json:"kv"`        // names of stores; "*" = any
	Buckets  []string `json:"buckets"`   // names of buckets; "*" = any
}

// power is a set of the words of read and write.
type power uint16

const (
	readEnvelope power = 1 << iota
	readHeaders
	readBody
	writeHeaders
	writeBody
	writeRecipients
	writeSender
	choose // routes or next_hops
	useStores
	useBuckets
)

var readWords = map[string]power{"envelope": readEnvelope, "headers": readHeaders, "body": readBody}

var writeWords = map[string]power{
	"headers": writeHeaders, "body": writeBody, "recipients": writeRecipients, "sender": writeSender,
}

// check reports a word that no grant has.
func (g *Grant) check() error {
	if err := checkWords("read", g.Read, readWords); err != nil {
		return err
	}
	if err := checkWords("write", g.Write, writeWords); err != nil {
		return err
	}
	for _, p := range g.NextHops {
		if _, err := path.Match(p, ""); err != nil {
			return fmt.Errorf("next_hops pattern %q is not a valid glob", p)
		}
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

func sorted(m map[string]power) []string {
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
	if len(g.Routes)+len(g.NextHops) > 0 {
		p |= choose
	}
	if len(g.Stores) > 0 {
		p |= useStores
	}
	if len(g.Buckets) > 0 {
		p |= useBuckets
	}
	return p
}

// missing returns the part of wants that g lacks. A wanted "*" asks for whatever
// the operator gives, and lacks nothing.
func (g *Grant) missing(wants Grant) Grant {
	return Grant{
		Read:     lacking(wants.Read, g.Read),
		Write:    lacking(wants.Write, g.Write),
		Routes:   lacking(wants.Routes, g.Routes),
		NextHops: lacking(wants.NextHops, g.NextHops),
		Stores:   lacking(wants.Stores, g.Stores),
		Buckets:  lacking(wants.Buckets, g.Buckets),
	}
}

func lacking(wants, has []string) []string {
	var out []string
	for _, w := range wants {
		if w != "*" && !contains(has, w) && !contains(has, "*") {
			out = append(out, w)
		}
	}
	return out
}

// narrow returns wants ∩ g: what a module with a manifest gets.
func (g *Grant) narrow(wants Grant) Grant {
	return Grant{
		Read:     both(wants.Read, g.Read),
		Write:    both(wants.Write, g.Write),
		Routes:   both(wants.Routes, g.Routes),
		NextHops: both(wants.NextHops, g.NextHops),
		Stores:   both(wants.Stores, g.Stores),
		Buckets:  both(wants.Buckets, g.Buckets),
	}
}

func both(wants, has []string) []string {
	if contains(wants, "*") {
		return has
	}
	if contains(has, "*") {
		return wants
	}
	var out []string
	for _, w := range wants {
		if contains(has, w) {
			out = append(out, w)
		}
	}
	return out
}

func contains(list []string, w string) bool {
	for _, x := range list {
		if x == w {
			return true
		}
	}
	return false
}

// allowsName reports whether a list of names allows name.
func allowsName(list []string, name string) bool { return contains(list, name) || contains(list, "*") }

// allowsHop reports whether next_hops allows a "host:port" (host in any case).
func (g *Grant) allowsHop(hop string) bool {
	hop = strings.ToLower(hop)
	for _, p := range g.NextHops {
		if ok, err := path.Match(strings.ToLower(p), hop); err == nil && ok {
			return true
		}
	}
	return false
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
	return b.String() + "}"
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

func (g *Grant) empty() bool {
	return len(g.Read)+len(g.Write)+len(g.Routes)+len(g.NextHops)+len(g.Stores)+len(g.Buckets) == 0
}
