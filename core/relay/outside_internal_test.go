// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/postroad-mail/postroad/core/internal/resolver"
	"github.com/postroad-mail/postroad/core/internal/testkit"
	"github.com/postroad-mail/postroad/core/internal/wasmhost"
	"github.com/postroad-mail/postroad/sdk/abi"
)

// zoneOf is an embedder's Resolver.
type zoneOf map[string][]netip.Addr

func (z zoneOf) LookupIP(_ context.Context, host string) ([]netip.Addr, error) {
	if z[host] == nil {
		return nil, ErrNoDomain
	}
	return z[host], nil
}

func (z zoneOf) LookupMX(_ context.Context, domain string) ([]MX, error) {
	if z[domain] == nil {
		return nil, ErrNoDomain
	}
	return []MX{{Host: "mx." + domain, Pref: 10}}, nil
}

// spellAnswer renders what a plugin would be told.
func spellAnswer(a wasmhost.Answer, err error) string {
	var e abi.Errno
	if errors.As(err, &e) {
		return e.Error()
	}
	var words []string
	for _, r := range a.Records {
		words = append(words, fmt.Sprintf("%s %d %s", r.Data, r.Preference, r.TTL))
	}
	return strings.Join(words, ", ")
}

func TestDNSOfPlugins(t *testing.T) {
	fake := testkit.NewDNS(t, "a.test. 60 A 192.0.2.1\na.test. 60 MX 10 mx.a.test.\n")
	own, err := resolver.New(resolver.Options{Servers: []string{fake.Addr()}, Clock: testkit.NewClock(time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC))})
	if err != nil {
		t.Fatal(err)
	}
	embedded := zoneOf{"a.test": {netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")}}
	for _, c := range []struct {
		r      Resolver
		name   string
		rrtype uint16
		want   string
	}{
		{dns{own}, "a.test", 1, "192.0.2.1 0 1m0s"},
		{dns{own}, "a.test", 15, "mx.a.test 10 1m0s"},
		{dns{own}, "b.test", 1, "not found"},
		{dns{own}, "a.test", 99, "not supported"},
		{embedded, "a.test", 1, "192.0.2.1 0 0s"},
		{embedded, "a.test", 28, "2001:db8::1 0 0s"},
		{embedded, "a.test", 15, "mx.a.test 10 0s"},
		{embedded, "b.test", 1, "not found"},
		{embedded, "b.test", 15, "not found"},
		{embedded, "a.test", 16, "not supported"},
	} {
		if got := spellAnswer(stageDNS(c.r).Lookup(context.Background(), c.name, c.rrtype)); got != c.want {
			t.Errorf("%T %s %d: %s, want %s", c.r, c.name, c.rrtype, got, c.want)
		}
	}
}

func TestHTTPOfPlugins(t *testing.T) {
	seen := make(chan string, 10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen <- r.Method + " " + r.URL.Path
		w.Header().Set("X-A", "b")
		w.WriteHeader(201)
		fmt.Fprint(w, "done")
	}))
	defer server.Close()
	c := newOutside(zoneOf{"127.0.0.1": {netip.MustParseAddr("127.0.0.1")}}, hclog.NewNullLogger())
	h := stageHTTP{c, hclog.NewNullLogger()}
	host := strings.TrimPrefix(server.URL, "http://")
	r := wasmhost.HTTPRequest{Stage: "s", Method: "PUT", URL: server.URL + "/x", Allow: []string{host}}
	resp, err := h.Do(context.Background(), r)
	if err != nil || resp.Status != 201 || resp.Header["X-A"][0] != "b" || string(resp.Body) != "done" {
		t.Errorf("%+v, %v", resp, err)
	}
	r.Allow = []string{"*:*"}
	if _, err := h.Do(context.Background(), r); !errors.Is(err, abi.ErrDenied) {
		t.Errorf("loopback by a pattern: %v", err)
	}
	r.Allow, r.URL = []string{host}, server.URL+"/later"
	if err := h.Check(r); err != nil {
		t.Fatal(err)
	}
	h.Queue(r)
	c.Close(context.Background())
	if first, second := <-seen, <-seen; first != "PUT /x" || second != "PUT /later" {
		t.Errorf("seen %q, %q", first, second)
	}
}
