// SPDX-License-Identifier: Apache-2.0

package config

import "testing"

func TestBothSpellingsAreOneDomain(t *testing.T) {
	for in, want := range map[string]string{
		"Example.ORG":                "example.org",
		"bücher.example":             "xn--bcher-kva.example",
		"BÜCHER.example":             "xn--bcher-kva.example",
		"bu\u0308cher.example":       "xn--bcher-kva.example", // not NFC
		"XN--BCHER-KVA.example":      "xn--bcher-kva.example",
		".bücher.example":            ".xn--bcher-kva.example",
		"ｅｘａｍｐｌｅ.org":                "example.org",
		"example。org":                "example.org",
		"a_b.example":                "a_b.example",
		"[IPv6:2001:DB8::1]":         "[ipv6:2001:db8::1]",
		"bücher．example＠example.org": "bücher．example＠example.org",
		"\u202e.example":             "\u202e.example",
		"":                           "",
	} {
		if got := SameDomain(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func FuzzSameDomain(f *testing.F) {
	for _, s := range []string{"example.org", ".bücher.example", "ｅ。org", "xn--a", "\xff", "＠"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		once := SameDomain(s)
		if twice := SameDomain(once); twice != once {
			t.Errorf("%q: %q, and then %q", s, once, twice)
		}
	})
}
