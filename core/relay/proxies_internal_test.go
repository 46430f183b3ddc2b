// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"bytes"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/go-hclog"
)

// logPage is a log that can be read while it is written.
type logPage struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (p *logPage) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.b.Write(b)
}

func (p *logPage) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.b.String()
}

// What a proxy says of its client decides who may relay: the proxy's own address,
// which is in relay_from, does not help a client that is not. The log has both.
func TestAProxysClientMayNotRelayInItsName(t *testing.T) {
	log := &logPage{}
	r := running(t, Options{
		Config: listensAt("smtp", `"127.0.0.1:0"`, "relay_from = [\"127.0.0.1\", \"198.51.100.7\"]\nproxy_protocol { from = [\"127.0.0.1\"] }"),
		Logger: hclog.New(&hclog.LoggerOptions{Output: log}),
	})
	for header, want := range map[string]string{
		"PROXY TCP4 203.0.113.9 192.0.2.1 4711 25\r\n":  "554 5.7.1 relaying denied",
		"PROXY TCP4 198.51.100.7 192.0.2.1 4711 25\r\n": "250",
		"PROXY UNKNOWN\r\n":                             "554 5.7.1 relaying denied",
	} {
		c := dialTalk(t, "tcp", r.Addr("in").String())
		c.ask(header, "220")
		c.ask("EHLO c.test\r\nMAIL FROM:<a@x.test>\r\nRCPT TO:<b@y.test>\r\n", "250", "250", want)
		c.Close()
	}
	for _, want := range []string{"peer=203.0.113.9:4711", "via=127.0.0.1:"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("no %s in the log:\n%s", want, log)
		}
	}
}

// LOGIN counts where pipeline.hcl says so, and nowhere else.
func TestXClientLogin(t *testing.T) {
	for more, want := range map[string][2]string{
		"login = true": {"220", "250"},
		"":             {"501", "530 5.7.0"},
	} {
		r := running(t, Options{Config: listensAt("submission", `"127.0.0.1:0"`, "xclient {\n from = [\"127.0.0.1\"]\n "+more+"\n }")})
		c := dialTalk(t, "tcp", r.Addr("in").String())
		c.ask("", "220")
		c.ask("XCLIENT ADDR=203.0.113.9 LOGIN=ann\r\n", want[0])
		c.ask("EHLO c.test\r\nMAIL FROM:<a@x.test>\r\n", "250", want[1])
	}
}
