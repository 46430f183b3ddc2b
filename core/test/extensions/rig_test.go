// SPDX-License-Identifier: Apache-2.0

// Package extensions drives extensions of SMTP through whole relays on real
// sockets: from EHLO through the queue, with a restart in between, to a next hop
// that offers them or does not. It holds tests alone.
package extensions

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/textproto"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/postroad-mail/postroad/core/internal/testkit"
	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/core/relay"
)

// world is what all tests have in common: a certificate for this machine that the
// process trusts. The system's roots are read once in a process, and a relay has no
// others.
var world struct {
	cert              *testkit.Cert
	certFile, keyFile string
}

// starter is a testkit.T before there is a test.
type starter struct{}

func (starter) Helper()                        {}
func (starter) Cleanup(func())                 {}
func (starter) Logf(string, ...any)            {}
func (starter) Errorf(format string, a ...any) { panic(fmt.Sprintf(format, a...)) }
func (starter) Fatalf(format string, a ...any) { panic(fmt.Sprintf(format, a...)) }

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "extensions")
	if err != nil {
		panic(err)
	}
	world.cert = testkit.NewCert(starter{}, "127.0.0.1", "relay.test")
	world.certFile, world.keyFile = world.cert.Write(starter{}, dir)
	os.Setenv("SSL_CERT_FILE", world.certFile)
	os.Setenv("SSL_CERT_DIR", dir)
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// rig is a relay on a disk with a clock that stands still, and a next hop.
type rig struct {
	t     *testing.T
	r     *relay.Relay
	o     relay.Options
	clock *relay.FakeClock
	sink  *testkit.Sink
	stop  context.CancelFunc
	ended chan error
}

// config is the relay's: mail for ours.test goes into mailboxes, all else to the
// sink; what comes back to here.test as well.
const config = `
server { hostname = "relay.test" }
admin { address = "" }
listener "smtp" "in" {
  address    = "127.0.0.1:0"
  relay_from = ["127.0.0.0/8"]
  pipeline   = pipeline.in
  tls {
    cert = env("CERT")
    key  = env("KEY")
  }
  LISTENER
}
listener "smtp" "strangers" {
  address = "127.0.0.1:0"
}
pipeline "in" {
  STAGES
}
PLUGINS
routing {
  rule {
    domains = ["ours.test"]
    route   = route.boxes
  }
  rule { route = route.next }
}
route "boxes" {
  maildir { create = true }
}
route "next" {
  smarthost {
    hosts = [env("SINK")]
    ROUTE
  }
  retry  = ["10m", "1h"]
  expire = "1d"
  dsn    = "full"
}
`

// setting replaces one of the words in capitals in config.
type setting struct{ word, text string }

func newRig(t *testing.T, sink testkit.SinkOptions, stages map[string]relay.NewStage, settings ...setting) *rig {
	t.Helper()
	g := &rig{t: t, sink: testkit.NewSink(t, sink), clock: relay.NewFakeClock(time.Date(2030, 1, 1, 9, 0, 0, 0, time.UTC))}
	hcl := config
	if stages != nil {
		settings = append(settings, setting{"STAGES", `stage "test" { plugin = plugin.test }`}, setting{"PLUGINS", `plugin "test" { source = "native:test" }`})
	}
	for _, s := range append(settings, setting{"LISTENER", ""}, setting{"STAGES", ""}, setting{"PLUGINS", ""}, setting{"ROUTE", ""}) {
		hcl = strings.Replace(hcl, s.word, s.text, 1)
	}
	env := map[string]string{"SINK": g.sink.Addr().String(), "CERT": world.certFile, "KEY": world.keyFile}
	g.o = relay.Options{
		ConfigFile: "test.hcl", Config: []byte(hcl), Stages: stages, Clock: g.clock, DataDir: t.TempDir(), LogOutput: t.Output(),
		Env: func(name string) (string, bool) { v, ok := env[name]; return v, ok },
	}
	t.Cleanup(g.end)
	g.start()
	return g
}

func (g *rig) start() {
	g.t.Helper()
	r, err := relay.Open(context.Background(), g.o)
	if err != nil {
		g.t.Fatal(err)
	}
	g.r, g.ended = r, make(chan error, 1)
	var ctx context.Context
	ctx, g.stop = context.WithCancel(context.Background())
	go func() { g.ended <- r.Run(ctx) }()
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

// restart ends the relay and opens it again: what is not in the records is gone.
func (g *rig) restart() {
	g.t.Helper()
	g.end()
	g.start()
}

func (g *rig) idle() {
	g.t.Helper()
	if err := g.r.Idle(context.Background()); err != nil {
		g.t.Fatal(err)
	}
}

func (g *rig) advance(d time.Duration) {
	g.t.Helper()
	g.clock.Advance(d)
	g.idle()
}

// only is the one message that is queued.
func (g *rig) only() mail.QueueEntry {
	g.t.Helper()
	q, err := g.r.Queue(context.Background(), 0)
	if err != nil || len(q) != 1 {
		g.t.Fatalf("queued: %+v, %v", q, err)
	}
	return q[0]
}

// reports returns the reports that arrived at the sink.
func (g *rig) reports() (out []testkit.Received) {
	g.t.Helper()
	g.idle()
	for _, m := range g.sink.Messages() {
		if m.From == "<>" {
			out = append(out, m)
		}
	}
	return out
}

// arrived returns what is no report.
func (g *rig) arrived() (out []testkit.Received) {
	g.t.Helper()
	g.idle()
	for _, m := range g.sink.Messages() {
		if m.From != "<>" {
			out = append(out, m)
		}
	}
	return out
}

// value returns the value of a field in a text, on its first line.
func value(text []byte, name string) string {
	_, rest, _ := strings.Cut("\r\n"+string(text), "\r\n"+name+": ")
	line, _, _ := strings.Cut(rest, "\r\n")
	return line
}

// client speaks SMTP line by line.
type client struct {
	t *testing.T
	c *textproto.Conn
	n net.Conn
}

func (g *rig) dial(listener string) *client {
	g.t.Helper()
	conn, err := net.Dial("tcp", g.r.Addr(listener).String())
	if err != nil {
		g.t.Fatal(err)
	}
	c := &client{g.t, textproto.NewConn(conn), conn}
	g.t.Cleanup(func() { c.c.Close() })
	c.expect(220)
	c.cmd(250, "EHLO client.test")
	return c
}

// secure is dial, and STARTTLS.
func (g *rig) secure() *client {
	g.t.Helper()
	c := g.dial("in")
	c.cmd(220, "STARTTLS")
	c.n = tls.Client(c.n, world.cert.ClientConfig("relay.test"))
	c.c = textproto.NewConn(c.n)
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

const hello = "From: <a@here.test>\r\nSubject: hello\r\n\r\nIt works.\r\n"

// envelope says MAIL and RCPT; each of to is a path with its parameters.
func (c *client) envelope(params string, to ...string) {
	c.t.Helper()
	c.cmd(250, "MAIL FROM:<a@here.test> %s", params)
	for _, r := range to {
		path, params, _ := strings.Cut(r, " ")
		c.cmd(250, "RCPT TO:<%s> %s", path, params)
	}
}

// send hands one message in by DATA.
func (c *client) send(params string, to ...string) {
	c.t.Helper()
	c.envelope(params, to...)
	c.cmd(354, "DATA")
	c.cmd(250, "%s.", hello)
}

// sendBinary hands one message in by BDAT.
func (c *client) sendBinary(content, params string, to ...string) {
	c.t.Helper()
	c.envelope("BODY=BINARYMIME "+params, to...)
	half := len(content) / 2
	for _, s := range []string{fmt.Sprintf("BDAT %d\r\n%s", half, content[:half]), fmt.Sprintf("BDAT %d LAST\r\n%s", len(content)-half, content[half:])} {
		if _, err := c.n.Write([]byte(s)); err != nil {
			c.t.Fatal(err)
		}
		c.expect(250)
	}
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

// messageStage is a native stage of a function.
type messageStage func(relay.Message) (mail.Verdict, error)

func (f messageStage) Message(_ context.Context, m relay.Message) (mail.Verdict, error) { return f(m) }

func native(f messageStage) map[string]relay.NewStage {
	return map[string]relay.NewStage{"test": func([]byte) (relay.Stage, error) { return f, nil }}
}
