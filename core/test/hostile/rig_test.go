// SPDX-License-Identifier: Apache-2.0

package hostile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postroad-mail/postroad/core/internal/testkit"
	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/core/relay"
)

// guests is where the modules are, as seen from this folder.
const guests = "../../internal/wasmhost/testdata"

// patience bounds what must happen; nothing is measured with it.
const patience = time.Minute

// guest is a hostile module and what its text says about it.
type guest struct {
	name, file  string
	when, cause string // "hook", or "init" and "start" when it fails before; cause as in the figures
}

// hostileGuests finds every hostile module.
func hostileGuests(t *testing.T) (all []guest) {
	t.Helper()
	files, err := filepath.Glob(guests + "/hostile/*.wat")
	if err != nil || len(files) == 0 {
		t.Fatalf("no hostile guests: %v", err)
	}
	for _, wat := range files {
		text, err := os.ReadFile(wat)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(filepath.Base(wat), ".wat")
		all = append(all, guest{name: name, file: "./" + guests + "/hostile/" + name + ".wasm", when: field(t, text, "when"), cause: field(t, text, "cause")})
	}
	return all
}

// field returns what a line ";; name: value" says.
func field(t *testing.T, wat []byte, name string) string {
	t.Helper()
	m := regexp.MustCompile(`(?m)^;; ` + name + `: (\w+)$`).FindSubmatch(wat)
	if m == nil {
		t.Fatalf("no %q in %.200s", name, wat)
	}
	return string(m[1])
}

// inPhase returns a guest whose pr_init asks for one of the session's phases
// instead of message: the constant that it returns is changed.
func (g guest) inPhase(t *testing.T, p mail.Phase) guest {
	t.Helper()
	wasm, err := os.ReadFile(g.file)
	if err != nil {
		t.Fatal(err)
	}
	was, is := []byte{0x42, 0x80, 0x04}, []byte{0x42, 0x80 | 1<<p, 0x00} // i64.const
	if bytes.Count(wasm, was) != 1 || p > mail.PhaseRcpt {
		t.Fatalf("cannot change the phases of %s", g.name)
	}
	g.file = filepath.Join(t.TempDir(), g.name+".wasm")
	if err := os.WriteFile(g.file, bytes.Replace(wasm, was, is, 1), 0o600); err != nil {
		t.Fatal(err)
	}
	return g
}

// limits are small, so that a guest is stopped soon. Those that wait for memory
// have fuel enough to reach their deadline instead.
func (g guest) limits() string {
	if g.cause == "deadline" {
		return `memory = "16MiB"
    fuel = 1000000000000
    message_fuel = 1000000000000
    deadline = "200ms"
    message_deadline = "200ms"`
	}
	return `memory = "2MiB"
    fuel = 2000000
    message_fuel = 20000000
    deadline = "1m"
    message_deadline = "1m"`
}

// marked selects the mail that meets a guest in phase message.
const marked = `contains(message.header["X-Attack"], "yes")`

// config is a relay with two listeners. Mail that comes in by "attacked" and is
// selected by when meets the guest; all mail meets an honest plugin.
func (g guest) config(when, onError string) string {
	return fmt.Sprintf(`
server {
  hostname = "relay.test"
  log { level = "debug" }
}
admin { address = "127.0.0.1:0" }
listener "smtp" "attacked" {
  address    = "127.0.0.1:0"
  pipeline   = pipeline.attacked
  relay_from = ["127.0.0.0/8"]
}
listener "smtp" "calm" {
  address    = "127.0.0.1:0"
  pipeline   = pipeline.calm
  relay_from = ["127.0.0.0/8"]
}
plugin "hostile" {
  source = %q
  grant {
    read  = ["envelope", "headers", "body"]
    write = ["headers", "body", "recipients", "sender"]
  }
  limits {
    depth  = 200
    %s
  }
}
plugin "honest" {
  source = "./%s/guests/fields.wasm"
  grant {
    read = ["envelope", "headers"]
  }
}
pipeline "attacked" {
  stage "hostile" {
    plugin   = plugin.hostile
    when     = %s
    on_error = %q
  }
  stage "good" { plugin = plugin.honest }
}
pipeline "calm" {
  stage "alone" { plugin = plugin.honest }
}
routing {
  rule { route = route.next }
}
route "next" {
  smarthost { host = env("SINK", "") }
}
`, g.file, g.limits(), guests, when, onError)
}

// rig is a whole relay in memory, its next hop and its log.
type rig struct {
	t    *testing.T
	r    *relay.Relay
	sink *testkit.Sink
	log  *output
}

// output is a log in memory.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

// String returns what was logged.
func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

func open(t *testing.T, hcl string) (*rig, error) {
	g := &rig{t: t, sink: testkit.NewSink(t, testkit.SinkOptions{}), log: &output{}}
	r, err := relay.Open(context.Background(), relay.Options{
		ConfigFile: "test.hcl", Config: []byte(hcl), InMemory: true, DataDir: t.TempDir(), LogOutput: g.log,
		Env: func(name string) (string, bool) { return g.sink.Addr().String(), name == "SINK" },
	})
	g.r = r
	return g, err
}

// newRig starts a relay, which ends with the test.
func newRig(t *testing.T, hcl string) *rig {
	t.Helper()
	g, err := open(t, hcl)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- g.r.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the relay ended with %v", err)
		}
	})
	return g
}

// failures reads from the admin listener how often each stage failed, by cause.
func (g *rig) failures() map[string]int {
	g.t.Helper()
	res, err := http.Get("http://" + g.r.Info().Admin + "/metrics")
	if err != nil {
		g.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	found := map[string]int{}
	for _, m := range regexp.MustCompile(`(?m)^postroad_plugin_failures_total\{cause="(\w+)",stage="(\w+)"\} (\d+)$`).FindAllSubmatch(b, -1) {
		n, _ := strconv.Atoi(string(m[3]))
		found[string(m[2])+" "+string(m[1])] = n
	}
	return found
}

// client is an SMTP session. Its methods may run on any goroutine.
type client struct {
	conn net.Conn
	c    *textproto.Conn
}

func (g *rig) dial(listener string) (*client, error) {
	conn, err := net.Dial("tcp", g.r.Addr(listener).String())
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	c := &client{conn, textproto.NewConn(conn)}
	if _, _, err := c.c.ReadResponse(220); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return c, errors.Join(c.ask("EHLO client.test", 250))
}

// ask sends a line and reads the reply to it.
func (c *client) ask(line string, code int) error {
	if err := c.c.PrintfLine("%s", line); err != nil {
		return err
	}
	_, _, err := c.c.ReadResponse(code)
	return err
}

// send hands in one message and returns the reply to it.
func (c *client) send(content string) (string, error) {
	for _, step := range []struct {
		line string
		code int
	}{{"MAIL FROM:<a@here.test>", 250}, {"RCPT TO:<b@far.test>", 250}, {"DATA", 354}} {
		if err := c.ask(step.line, step.code); err != nil {
			return "", err
		}
	}
	w := c.c.DotWriter()
	if _, err := io.WriteString(w, content); err != nil {
		return "", err
	}
	if err := w.Close(); err != nil {
		return "", err
	}
	code, text, err := c.c.ReadResponse(0)
	return fmt.Sprint(code, " ", text), err
}
