// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"fmt"
	"io"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/postroad-mail/postroad/core/internal/config"
	"github.com/postroad-mail/postroad/core/mail"
)

func TestReceivedField(t *testing.T) {
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	env := func(f func(*mail.Envelope)) *mail.Envelope {
		e := &mail.Envelope{ID: "01ID", Recipients: []mail.Recipient{{Address: "b@x.test"}},
			Client: mail.Client{Addr: netip.MustParseAddrPort("192.0.2.1:9"), Helo: "mx.a.test", Protocol: "ESMTP"}}
		f(e)
		return e
	}
	for _, c := range []struct {
		name string
		env  *mail.Envelope
		want string
	}{
		{"plain", env(func(*mail.Envelope) {}), "from mx.a.test ([192.0.2.1]) by us.test with ESMTP id 01ID for <b@x.test>; Wed, 2 Jan 2030 03:04:05 +0000"},
		{"IPv6 and name", env(func(e *mail.Envelope) {
			e.Client.Addr = netip.MustParseAddrPort("[2001:db8::1]:9")
			e.Client.Name = "mx.a.test"
		}), "from mx.a.test (mx.a.test [IPv6:2001:db8::1]) by us.test with ESMTP id 01ID for <b@x.test>; Wed, 2 Jan 2030 03:04:05 +0000"},
		{"two recipients are not told of each other", env(func(e *mail.Envelope) {
			e.Recipients = append(e.Recipients, mail.Recipient{Address: "c@x.test"})
		}), "from mx.a.test ([192.0.2.1]) by us.test with ESMTP id 01ID; Wed, 2 Jan 2030 03:04:05 +0000"},
		{"a hostile HELO stays inside its place", env(func(e *mail.Envelope) { e.Client.Helo = "a) by evil;\r\nX: y" }), "from a??by?evil???X:?y ([192.0.2.1]) by us.test with ESMTP id 01ID for <b@x.test>; Wed, 2 Jan 2030 03:04:05 +0000"},
		{"submitted in process", env(func(e *mail.Envelope) { e.Client = mail.Client{Protocol: "local"} }), "by us.test with local id 01ID for <b@x.test>; Wed, 2 Jan 2030 03:04:05 +0000"},
	} {
		if got := received(c.env, "us.test", now); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}

func TestRouting(t *testing.T) {
	r := newRouting(&config.Config{
		Rules: []config.Rule{
			{Domains: []string{"here.test", ".here.test"}, Route: "box"},
			{Domains: []string{"back.test"}, Accept: true, Route: "out"},
			{Domains: []string{"far.test"}, Route: "out"},
			{Route: "out"},
		},
		Routes: []config.Route{{Name: "box", Kind: "maildir"}, {Name: "out", Kind: "mx"}},
	})
	for _, c := range []struct {
		domain, route string
		ours          bool
	}{
		{"here.test", "box", true},
		{"sub.here.test", "box", true},
		{"nothere.test", "out", false},
		{"back.test", "out", true},
		{"far.test", "out", false},
		{"", "out", false},
	} {
		got := r.routeOf(mail.Recipient{Address: mail.Address("a@" + c.domain)})
		if got != c.route || r.ours(c.domain) != c.ours {
			t.Errorf("%q goes by %q, ours %v", c.domain, got, r.ours(c.domain))
		}
	}
	if got := r.routeOf(mail.Recipient{Address: "a@here.test", Route: "out"}); got != "out" {
		t.Errorf("a stage's choice was not taken: %q", got)
	}
}

func TestMayRelay(t *testing.T) {
	l := &config.Listener{RelayFrom: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32")}}
	for addr, want := range map[string]bool{"127.0.0.1": true, "::ffff:127.0.0.1": true, "192.0.2.1": false, "2001:db8::9": true, "::1": false} {
		c := &mail.Client{Addr: netip.AddrPortFrom(netip.MustParseAddr(addr), 25)}
		if got := mayRelay(l, c); got != want {
			t.Errorf("%s: %v", addr, got)
		}
	}
	if mayRelay(l, &mail.Client{}) {
		t.Error("an unknown address may relay")
	}
	if !mayRelay(l, &mail.Client{User: "ann", Authenticated: true}) {
		t.Error("who has logged in may not relay")
	}
}

func TestSubmittedLinesEndInCRLF(t *testing.T) {
	for in, want := range map[string]string{
		"a\nb\n": "a\r\nb\r\n", "a\r\nb": "a\r\nb", "a\rb\r": "a\r\nb\r\n", "\r\r\n\n": "\r\n\r\n\r\n", "": "",
	} {
		got, err := io.ReadAll(&crlfReader{r: iotest.OneByteReader(strings.NewReader(in))})
		if string(got) != want || err != nil {
			t.Errorf("%q became %q, %v", in, got, err)
		}
	}
}

// A store in memory lives as long as the relay does, whatever is reloaded.
func TestAStoreInMemory(t *testing.T) {
	text := append(listens("in"), "store \"quick\" {\n engine = \"memory\"\n}\n"...)
	r := openInMemory(t, text)
	defer r.Close()
	s := r.liveStore(&r.gen.Load().config.Stores[0])
	if ok, err := s.Put([]byte("k"), []byte("v"), 0, false); err != nil || !ok {
		t.Fatal(ok, err)
	}
	if err := r.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if v, ok, err := r.liveStore(&r.gen.Load().config.Stores[0]).Get([]byte("k")); err != nil || !ok || string(v) != "v" {
		t.Errorf("%q, %v, %v", v, ok, err)
	}
	r.o.Config = listens("in")
	r.o.Config = append(r.o.Config, "store \"quick\" {\n engine = \"pebble\"\n}\n"...)
	if err := r.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), `the engine of store "quick" (it is memory) cannot change`) {
		t.Errorf("got %v", err)
	}
}

// What all plugins may have together could not be set.
func TestMemoryOfAllPlugins(t *testing.T) {
	guest, err := filepath.Abs("../internal/wasmhost/testdata/guests/obey.wasm") // has 2 MiB
	if err != nil {
		t.Fatal(err)
	}
	text := func(memory string) []byte {
		return append(listens("in"), fmt.Sprintf(`
server { plugin_memory = %q }
plugin "obey" { source = %q }
pipeline "checked" {
  stage "obey" { plugin = plugin.obey }
}
`, memory, guest)...)
	}
	if r, err := Open(t.Context(), Options{Config: text("1MiB"), ConfigFile: "test.hcl", InMemory: true, DataDir: t.TempDir(), LogOutput: io.Discard}); err == nil || !strings.Contains(err.Error(), "raise plugin_memory") {
		t.Errorf("relay %v, error %v", r != nil, err)
	}
	r := openInMemory(t, text("1GiB"))
	defer r.Close()
	r.o.Config = text("2GiB")
	if err := r.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "plugin_memory cannot change") {
		t.Errorf("got %v", err)
	}
}
