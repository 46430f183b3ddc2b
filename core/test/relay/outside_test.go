// SPDX-License-Identifier: Apache-2.0

package relay_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/postroad-mail/postroad/core/internal/testkit"
	"github.com/postroad-mail/postroad/core/relay"
)

// askingRig is a rig whose stage asks server and a name server.
func askingRig(t *testing.T, server *httptest.Server, grant string) *rig {
	t.Helper()
	dns := testkit.NewDNS(t, "a.test. 60 A 192.0.2.7\n")
	hcl := base(`  stage "ask" { plugin = plugin.ask }`, fmt.Sprintf(`
resolver { servers = [%q] }
plugin "ask" {
  source = "./testdata/ask.wasm"
  grant {
    write = ["headers"]
    %s
  }
}`, dns.Addr(), grant))
	hcl = strings.Replace(hcl, `admin { address = "" }`, `admin { address = "127.0.0.1:0" }`, 1)
	g := &rig{t: t, sink: testkit.NewSink(t, testkit.SinkOptions{}), clock: relay.NewFakeClock(time.Date(2030, 1, 1, 9, 0, 0, 0, time.UTC)), ended: make(chan error, 1)}
	o := g.options(hcl, nil)
	env := o.Env
	o.Env = func(name string) (string, bool) {
		if name == "POSTROAD_SECRET_URL" {
			return server.URL + "/ask", true
		}
		return env(name)
	}
	r, err := relay.Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	g.run(r)
	return g
}

// TestAPluginAsksOthers: a plugin reaches DNS, HTTP, its secret and its figures
// through a whole relay, as far as it is granted.
func TestAPluginAsksOthers(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "seen "+r.URL.Path) }))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	g := askingRig(t, server, fmt.Sprintf("dns = true\nhttp = [%q]\nsecrets = [\"url\"]", host))
	g.dial().send(250, "a@here.test", hello, "b@far.test")
	got := wait(t, g, 1)[0]
	if !strings.Contains(got, "X-Answer: seen /ask\r\n") || !strings.Contains(got, "X-Address: 192.0.2.7\r\n") {
		t.Errorf("arrived as %q", got)
	}
	resp, err := http.Get("http://" + g.r.Info().Admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, err := io.ReadAll(resp.Body); err != nil || !strings.Contains(string(b), "postroad_plugin_asked{stage=\"ask\"} 2\n") {
		t.Errorf("%v: the figure is not in %s", err, b)
	}
}

// TestAPluginReachesNoInsideHostByPattern: the same, with a pattern in the grant.
func TestAPluginReachesNoInsideHostByPattern(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it was reached") }))
	defer server.Close()
	g := askingRig(t, server, "dns = true\nhttp = [\"*:*\"]\nsecrets = [\"url\"]")
	if reply := g.dial().send(451, "a@here.test", hello, "b@far.test"); !strings.HasPrefix(reply, "4.3.0") {
		t.Errorf("reply %q", reply)
	}
}
