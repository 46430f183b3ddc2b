// SPDX-License-Identifier: Apache-2.0

package grant

import (
	"slices"
	"testing"
)

func TestAPatternMeetsTheNameThatAManifestAsksFor(t *testing.T) {
	for _, c := range []struct {
		kind       Kind
		has, wants string
		ok         bool
	}{
		{Hosts, "*", "api.example.org", true},
		{Hosts, "*.example.org", "api.example.org", true},
		{Hosts, "*.Example.org", "API.example.org", true},
		{Hosts, "*.example.org", "*.api.example.org", true},
		{Hosts, "*.example.org", "example.org", false},
		{Hosts, "*.example.org", "api.example.net", false},
		{Hosts, "*.example.org", "badexample.org", false},
		{Hosts, "api.example.org", "*.example.org", false},
		{Hosts, "*.example.org", "https://api.example.org", true},
		{Hosts, "*.example.org", "https://api.example.org:443", true},
		{Hosts, "*.example.org", "https://api.example.org:8443", false},
		{Hosts, "*.example.org:*", "https://api.example.org:8443", true},
		{Hosts, "*:8443", "https://api.example.org:8443", true},
		{Hosts, "https://*.example.org", "api.example.org", false},
		{Hosts, "https://api.example.org:443", "https://api.example.org", true},
		{Hosts, "[2001:db8::1]", "[2001:DB8:0::1]", true},
		{Hosts, "api.example.org", "*", true},
		{Names, "*", "token", true},
		{Names, "tok*", "token", false},
		{Names, "token", "*", true},
		{Hops, "*", "mx.example.org:25", true},
		{Hops, "*.example.org:25", "mx.example.org:25", true},
		{Hops, "*.example.org:*", "*.mx.example.org:25", true},
		{Hops, "mx.example.org:25", "*.example.org:25", false},
		{Hops, "10.*:25", "10.1.*:25", true},
		{Hops, "10.*:25", "10.1.example.org:25", false},
		{Hops, "*.example.org:25", "mx.example.org:587", false},
	} {
		if got := len(c.kind.Lacking([]string{c.wants}, []string{c.has})) == 0; got != c.ok {
			t.Errorf("granted %q, wanted %q: %v", c.has, c.wants, got)
		}
	}
}

func TestHostsStayAsTheOperatorWroteThem(t *testing.T) {
	for _, c := range []struct {
		kind             Kind
		wants, has, want []string
	}{
		{Hosts, []string{"api.example.org"}, []string{"*.example.org", "*"}, []string{"*.example.org", "*"}},
		{Hops, []string{"mx.example.org:25"}, []string{"*"}, []string{"*"}},
		{Hosts, nil, []string{"*"}, nil},
		{Names, []string{"a", "b"}, []string{"b", "c"}, []string{"b"}},
		{Names, []string{"a"}, []string{"*"}, []string{"a"}},
		{Names, []string{"*"}, []string{"b"}, []string{"b"}},
	} {
		if got := c.kind.Narrow(c.wants, c.has); !slices.Equal(got, c.want) {
			t.Errorf("%q of %q: %q", c.wants, c.has, got)
		}
	}
	if got := Hosts.Idle([]string{"api.example.org"}, []string{"*", "*.example.net", "api.example.org"}); !slices.Equal(got, []string{"*.example.net"}) {
		t.Errorf("idle are %q", got)
	}
}

func TestANumberInANextHopPatternIsNoDomain(t *testing.T) {
	for _, c := range []struct {
		pattern, hop string
		want         Reach
	}{
		{"10.1.*:25", "10.1.2.3:25", Anywhere},
		{"10.1.*:25", "10.1.attacker.example:25", Nowhere},
		{"10.1.*:25", "10.1.2:25", Nowhere},
		{"10.1.*:25", "10.1.2.3:587", Nowhere},
		{"10.1.*:25", "[::ffff:10.1.2.3]:25", Anywhere},
		{"10.1.[0-9]*:*", "10.1.2.3:587", Anywhere},
		{"10.1.2.3:25", "10.1.2.3:25", Anywhere},
		{"[2001:db8::1]:25", "[2001:DB8:0::1]:25", Anywhere},
		{"[2001:db8:*]:25", "[2001:db8:5::1]:25", Anywhere},
		{"[2001:db8:*]:25", "b:25", Nowhere},
		{"mx.example.org:25", "MX.example.org:25", Anywhere},
		{"mx.example.org:*", "mx.example.org:587", Anywhere},
		{"*.example.org:25", "mx.example.org:25", Outside},
		{"*.example.org:25", "*.example.org:25", Outside},
		{"*:25", "10.1.2.3:25", Outside},
		{"*", "10.1.2.3:25", Outside},
		{"*", "mx.example.org:25", Outside},
		{"*", "no port", Nowhere},
		{"1and1.*:25", "1and1.example:25", Outside},
	} {
		if got := Hop([]string{c.pattern}, nil, c.hop); got != c.want {
			t.Errorf("%q allows %q: %d", c.pattern, c.hop, got)
		}
	}
	for _, c := range []struct {
		allow, wants string
		want         Reach
	}{
		{"*", "mx.example.org:25", Outside}, // a manifest does not turn a pattern into a name
		{"mx.example.org:25", "*", Anywhere},
		{"*", "mx.example.net:25", Nowhere},
	} {
		if got := Hop([]string{c.allow}, []string{c.wants}, "mx.example.org:25"); got != c.want {
			t.Errorf("granted %q, wanted %q: %d", c.allow, c.wants, got)
		}
	}
	if Hop([]string{"*"}, []string{}, "mx.example.org:25") != Nowhere {
		t.Error("a manifest that wants no next hop may choose one")
	}
}
