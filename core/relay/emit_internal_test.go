// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/postroad-mail/postroad/core/internal/admin"
	"github.com/postroad-mail/postroad/core/internal/pipeline"
	"github.com/postroad-mail/postroad/core/mail"
)

// echo emits a message for each that is called "emit".
type echo struct{}

func (echo) Message(_ context.Context, m Message) (mail.Verdict, error) {
	if m.Header().Values("Subject")[0] != "emit" {
		return mail.Continue, nil
	}
	return mail.Continue, m.Emit(Emission{Recipients: []mail.Address{"c@x.test"}, Header: []byte("Subject: echo\r\n")})
}

// withEcho is a configuration with the native stage "echo".
func withEcho() []byte {
	return []byte(strings.Replace(string(listens("in")), `{ address = "127.0.0.1:0" }`, "{\n address = \"127.0.0.1:0\"\n pipeline = pipeline.p\n}", 1) + `
plugin "echo" { source = "native:echo" }
pipeline "p" {
  stage "echo" { plugin = plugin.echo }
}
`)
}

func openWithEcho(t *testing.T) *Relay {
	t.Helper()
	r, err := Open(context.Background(), Options{Config: withEcho(), ConfigFile: "test.hcl", InMemory: true, DataDir: t.TempDir(), LogOutput: t.Output(),
		Stages: map[string]NewStage{"echo": func([]byte) (Stage, error) { return echo{}, nil }}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// A message and what was emitted for it are durable together or not at all: one
// batch, with one sync.
func TestAnEmittedMessageIsInTheMessagesBatch(t *testing.T) {
	r := openWithEcho(t)
	var syncs []uint64
	for _, subject := range []string{"plain", "emit"} {
		before := r.syncs()
		if code := submitCode(r, "Subject: "+subject+"\n\nx\n"); code != 250 {
			t.Fatalf("%s: %d", subject, code)
		}
		syncs = append(syncs, r.syncs()-before)
	}
	if syncs[0] == 0 || syncs[0] != syncs[1] {
		t.Errorf("syncs %d without, %d with an emitted message", syncs[0], syncs[1])
	}
	if q, err := r.Queue(context.Background(), 0); err != nil || len(q) != 3 {
		t.Errorf("queued %v, %v", q, err)
	}
}

// An emitted message that cannot be queued has nobody to be told: it is counted.
func TestALostEmissionIsCounted(t *testing.T) {
	r := openWithEcho(t)
	live := r.engine.Swap(nil)
	r.emit(context.Background(), []pipeline.Emission{{Stage: "echo", Recipients: []mail.Address{"c@x.test"}, Header: []byte("Subject: x\r\n")}}, origin{id: "1"})
	r.engine.Store(live)
	if !strings.Contains(figures(t, r), `postroad_faults_total{room="emit"} 1`) {
		t.Error("it was not counted")
	}
}

// figures returns what the admin listener says at /metrics.
func figures(t *testing.T, r *Relay) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := admin.NewServer(r.metrics, admin.Health{Fault: r.Healthy, Alarm: r.watchdog.alarm, Queue: r.readingState}, r.log)
	s.Serve(l)
	defer s.Shutdown(context.Background())
	return page(t, l.Addr().String(), "/metrics")
}

// page returns what stands at a path of a web server.
func page(t *testing.T, address, path string) string {
	t.Helper()
	resp, err := http.Get("http://" + address + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
