// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postroad-mail/postroad/core/internal/smtpin"
	"github.com/postroad-mail/postroad/core/mail"
)

// listens is a configuration whose only listener has that name.
func listens(name string) []byte {
	return []byte(`
admin { address = "" }
listener "smtp" "` + name + `" { address = "127.0.0.1:0" }
routing {
  rule { route = route.nowhere }
}
route "nowhere" {
  discard {}
}
`)
}

func openInMemory(t *testing.T, config []byte) *Relay {
	t.Helper()
	r, err := Open(context.Background(), Options{Config: config, ConfigFile: "test.hcl", InMemory: true, DataDir: t.TempDir(), LogOutput: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// A session of a listener that a reload took away says MAIL before it is told
// to go. It gets a reply, and the relay can still end: Close waits for every
// transaction that has begun.
func TestMailOnAListenerThatAReloadTookAway(t *testing.T) {
	r := openInMemory(t, listens("old"))
	old, reply := (&door{r: r, listener: "old"}).Open(context.Background(), &mail.Client{})
	if reply != nil {
		t.Fatal(reply)
	}
	r.o.Config = listens("new")
	if err := r.Reload(context.Background()); err != nil {
		t.Fatal(err)
	}
	tx, reply := old.Mail(context.Background(), "a@x.test", smtpin.MailParams{})
	if tx != nil || reply == nil || reply.Code != 421 {
		t.Errorf("MAIL got %v, %v, want 421", tx, reply)
	}
	old.Close()
	if err := r.shutdown(); err != nil {
		t.Error(err)
	}
}

// While the data directory is opened again nothing can be acknowledged.
func TestNothingIsTakenWithoutADataDirectory(t *testing.T) {
	r := &Relay{}
	if err := r.enqueue(context.Background(), nil); err == nil {
		t.Error("a message without a queue was acknowledged")
	}
	if _, err := r.newBody().Finish(); err == nil {
		t.Error("a body without a spool was finished")
	}
	if _, err := (operator{r}).engine(); err == nil {
		t.Error("an operator got a queue that is not there")
	}
}

func TestSubmitRefusesARecipientWithoutAnAddress(t *testing.T) {
	r := openInMemory(t, listens("in"))
	defer r.Close()
	_, err := r.Submit(context.Background(), Submission{Sender: "a@x.test", Recipients: []string{""}, Content: strings.NewReader("x")})
	if err == nil {
		t.Error("a message for nobody was taken")
	}
}

// What was built once from the configuration must not seem to have changed.
func TestAReloadRefusesWhatItWouldNotChange(t *testing.T) {
	r := openInMemory(t, listens("in"))
	defer r.Close()
	for text, want := range map[string]string{
		`server { hostname = "other.test" }`:           "hostname",
		`resolver { servers = ["192.0.2.1:53"] }`:      "resolver",
		"server {\n log {\n  level = \"debug\"\n }\n}": "level",
		"server {\n log {\n  format = \"json\"\n }\n}": "format",
	} {
		r.o.Config = append([]byte(text+"\n"), listens("in")...)
		if err := r.Reload(context.Background()); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "restart") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// A second listener on a port of the system's choice gets one of its own, and
// when it goes the first one still takes connections.
func TestAReloadAddsAndTakesAwayAListenerOnAnyPort(t *testing.T) {
	r := openInMemory(t, listens("first"))
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	for _, config := range [][]byte{append([]byte("listener \"smtp\" \"second\" { address = \"127.0.0.1:0\" }\n"), listens("first")...), listens("first")} {
		r.o.Config = config
		if err := r.Reload(context.Background()); err != nil {
			t.Fatal(err)
		}
		if second := r.Addr("second"); second != nil && second.String() == r.Addr("first").String() {
			t.Errorf("both listeners are at %v", second)
		}
		conn, err := net.DialTimeout("tcp", r.Addr("first").String(), time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		if _, _, err := textproto.NewConn(conn).ReadResponse(220); err != nil {
			t.Error(err)
		}
		conn.Close()
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// A reload before Run, as by a signal while the program starts, serves nobody yet
// and leaves no socket open.
func TestAReloadBeforeRun(t *testing.T) {
	r := openInMemory(t, listens("old"))
	old := r.Addr("old").String()
	r.o.Config = listens("new")
	if err := r.Reload(context.Background()); err != nil {
		t.Fatal(err)
	}
	if conn, err := net.Dial("tcp", old); err == nil {
		conn.Close()
		t.Error("the socket of a listener that is gone is open")
	}
	if r.doors["new"].ended != nil {
		t.Error("the relay serves before Run")
	}
	ctx, stop := context.WithCancel(context.Background())
	stop()
	if err := r.Run(ctx); err != nil {
		t.Error(err)
	}
}

// limited is a configuration with a bucket and a breaker, and a second listener
// at an address.
func limited(burst, failures int, second string) []byte {
	return fmt.Appendf(listens("in"), `
listener "smtp" "second" { address = %q }
bucket "b" {
  rate  = "1/1h"
  burst = %d
}
plugin "filter" { source = "builtin:filter" }
pipeline "p" {
  stage "s" {
    plugin = plugin.filter
    config { deny_attachment = ["*.exe"] }
    breaker { failures = %d }
  }
}
`, second, burst, failures)
}

// What a refused configuration says of buckets and breakers must not count for
// the one that stays.
func TestARefusedReloadChangesNothingThatIsShared(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	r := openInMemory(t, limited(3, 3, "127.0.0.1:0"))
	defer r.Close()
	r.o.Config = limited(1, 1, taken.Addr().String())
	if err := r.Reload(context.Background()); !errors.Is(err, ErrUnavailable) {
		t.Fatalf("the reload: %v", err)
	}
	if ok, _ := r.buckets.byName["b"].Peek("x", 3); !ok {
		t.Error("the bucket has the burst of the refused configuration")
	}
	r.o.Config = limited(1, 1, "127.0.0.1:0")
	if err := r.Reload(context.Background()); err != nil {
		t.Fatal(err)
	}
	if ok, _ := r.buckets.byName["b"].Peek("x", 3); ok {
		t.Error("the bucket has not the burst of the live configuration")
	}
}

// A start that fails, for whatever reason, must not end what the operator has
// decided: its configuration may not be the one that was meant.
func TestAStartThatFailsKeepsTheOverrides(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	dir := t.TempDir()
	o := overrides{"p/s": {State: stateOff, Hash: "of another block", At: time.Unix(1, 0)}}
	if err := writeOverrides(filepath.Join(dir, "overrides.json"), o); err != nil {
		t.Fatal(err)
	}
	_, err = Open(context.Background(), Options{Config: limited(1, 1, taken.Addr().String()), ConfigFile: "test.hcl", DataDir: dir, LogOutput: t.Output()})
	if !errors.Is(err, ErrUnavailable) {
		t.Fatalf("the start: %v", err)
	}
	if got, err := readOverrides(filepath.Join(dir, "overrides.json")); err != nil || len(got) != 1 {
		t.Errorf("overrides %v, %v", got, err)
	}
}

// A refused reload was raw lines on standard error, between lines of JSON.
func TestARefusedReloadIsOneEventOfTheLog(t *testing.T) {
	var out bytes.Buffer
	o := Options{ConfigFile: "test.hcl", InMemory: true, LogOutput: &out, Config: []byte("admin {\n address = \"\"\n}\nserver {\n log { format = \"json\" }\n}\nrouting {\n rule { route = route.x }\n}\nroute \"x\" {\n discard {}\n}\n")}
	r, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if r.Info().LogFormat != "json" {
		t.Errorf("format %q", r.Info().LogFormat)
	}
	if err := r.engine.Load().queue.Whole(t.Context()); err != nil { // it writes to the log, too
		t.Fatal(err)
	}
	r.o.Config = []byte("no {")
	before := out.Len()
	r.ReloadOrLog(t.Context())
	var event map[string]any
	if err := json.Unmarshal(out.Bytes()[before:], &event); err != nil {
		t.Fatalf("%v: %s", err, out.Bytes()[before:])
	}
	if event["@level"] != "error" || event["file"] != "test.hcl" || !strings.Contains(event["error"].(string), "test.hcl:1") {
		t.Errorf("event %v", event)
	}
}
