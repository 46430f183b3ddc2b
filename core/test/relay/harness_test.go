// SPDX-License-Identifier: Apache-2.0

// Package relay_test drives whole relays, opened as an embedder opens them, over real
// sockets: mail goes in by SMTP and comes out at a sink.
package relay_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"github.com/postroad-mail/postroad/core/internal/testkit"
	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/core/relay"
)

// rig is a relay in memory with a clock that stands still and a next hop that
// records what it gets.
type rig struct {
	t     *testing.T
	r     *relay.Relay
	clock *relay.FakeClock
	sink  *testkit.Sink
	stop  context.CancelFunc
	ended chan error
}

// base is the configuration of a rig: everything goes to the sink. stages is
// put into the pipeline, extra behind it.
func base(stages, extra string) string {
	return `
server { hostname = "relay.test" }
admin { address = "" }
listener "smtp" "in" {
  address    = "127.0.0.1:0"
  pipeline   = pipeline.in
  relay_from = ["127.0.0.0/8"]
  ` + listenerExtra(extra) + `
}
pipeline "in" {
` + stages + `
}
routing {
  rule { route = route.next }
}
route "next" {
  smarthost { hosts = [env("SINK", "")] }
  retry  = ["10m", "1h"]
  expire = "1d"
}
` + topExtra(extra)
}

// extra may hold lines for the listener, marked "listener: ", and blocks.
func listenerExtra(s string) string { return strings.Join(marked(s, true), "\n  ") }
func topExtra(s string) string      { return strings.Join(marked(s, false), "\n") }

func marked(s string, want bool) []string {
	var out []string
	for _, line := range strings.Split(s, "\n") {
		rest, is := strings.CutPrefix(strings.TrimSpace(line), "listener: ")
		switch {
		case is && want:
			out = append(out, rest)
		case !is && !want:
			out = append(out, line)
		}
	}
	return out
}

func newRig(t *testing.T, hcl string, stages map[string]relay.NewStage) *rig {
	t.Helper()
	g := &rig{t: t, sink: testkit.NewSink(t, testkit.SinkOptions{}), clock: relay.NewFakeClock(time.Date(2030, 1, 1, 9, 0, 0, 0, time.UTC)), ended: make(chan error, 1)}
	r, err := relay.Open(context.Background(), g.options(hcl, stages))
	if err != nil {
		t.Fatal(err)
	}
	g.run(r)
	return g
}

func (g *rig) options(hcl string, stages map[string]relay.NewStage) relay.Options {
	return relay.Options{
		ConfigFile: "test.hcl", Config: []byte(hcl), Stages: stages, Clock: g.clock, InMemory: true, DataDir: g.t.TempDir(), LogOutput: g.t.Output(),
		Env: func(name string) (string, bool) { return g.sink.Addr().String(), name == "SINK" },
	}
}

func (g *rig) run(r *relay.Relay) {
	g.r = r
	var ctx context.Context
	ctx, g.stop = context.WithCancel(context.Background())
	go func() { g.ended <- r.Run(ctx) }()
	g.t.Cleanup(g.end)
}

// end drains the relay; a second call does nothing.
func (g *rig) end() {
	if g.stop == nil {
		return
	}
	g.stop()
	g.stop = nil
	if err := <-g.ended; err != nil {
		g.t.Errorf("the relay ended with %v", err)
	}
}

func (g *rig) idle() {
	g.t.Helper()
	if err := g.r.Idle(context.Background()); err != nil {
		g.t.Fatal(err)
	}
}

func (g *rig) queue() []mail.QueueEntry {
	g.t.Helper()
	q, err := g.r.Queue(context.Background(), 0)
	if err != nil {
		g.t.Fatal(err)
	}
	return q
}

// client speaks SMTP line by line.
type client struct {
	t *testing.T
	c *textproto.Conn
}

func (g *rig) dial() *client {
	g.t.Helper()
	conn, err := net.Dial("tcp", g.r.Addr("in").String())
	if err != nil {
		g.t.Fatal(err)
	}
	c := &client{g.t, textproto.NewConn(conn)}
	g.t.Cleanup(func() { c.c.Close() })
	c.expect(220)
	c.cmd(250, "EHLO client.test")
	return c
}

func (c *client) expect(code int) string {
	c.t.Helper()
	got, text, err := c.c.ReadResponse(0)
	if err != nil || got != code {
		c.t.Fatalf("got %d %s (%v), want %d", got, text, err, code)
	}
	return text
}

func (c *client) cmd(code int, format string, args ...any) string {
	c.t.Helper()
	if err := c.c.PrintfLine(format, args...); err != nil {
		c.t.Fatal(err)
	}
	return c.expect(code)
}

// send hands one message in and returns the reply to it.
func (c *client) send(code int, from, content string, to ...string) string {
	c.t.Helper()
	c.cmd(250, "MAIL FROM:<%s>", from)
	for _, r := range to {
		c.cmd(250, "RCPT TO:<%s>", r)
	}
	c.cmd(354, "DATA")
	w := c.c.DotWriter()
	fmt.Fprint(w, content)
	if err := w.Close(); err != nil {
		c.t.Fatal(err)
	}
	return c.expect(code)
}

// withoutTrace takes our Received field off.
func withoutTrace(t *testing.T, content []byte) string {
	t.Helper()
	if !bytes.HasPrefix(content, []byte("Received: ")) {
		t.Fatalf("no Received field on top of %.100q", content)
	}
	h := mail.ParseHeader(content)
	return string(content[len(h.Fields()[0].Raw):])
}

const hello = "From: a@here.test\r\nTo: b@far.test\r\nSubject: hello\r\n\r\nIt works.\r\n.dot line\r\n"

// messageStage is a native stage of a function.
type messageStage func(relay.Message) (mail.Verdict, error)

func (f messageStage) Message(_ context.Context, m relay.Message) (mail.Verdict, error) { return f(m) }

func native(f messageStage) map[string]relay.NewStage {
	return map[string]relay.NewStage{"test": func([]byte) (relay.Stage, error) { return f, nil }}
}

const testStage = `stage "test" { plugin = plugin.test }`
const testPlugin = `plugin "test" { source = "native:test" }`
