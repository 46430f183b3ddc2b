// SPDX-License-Identifier: Apache-2.0

package soak

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/postroad-mail/postroad/core/relay"
	"github.com/postroad-mail/postroad/plugins"
)

// plant is the relay with the files that it reads, and what they are at this
// moment.
type plant struct {
	r       *relay.Relay
	dir     string
	hop     string
	log     *noise
	modules map[string][]byte // the module in Go, by build
	now     epoch
}

// newPlant starts a relay on files, as an operator does, with its queue and its
// stores on disk. It ends with the test.
func newPlant(t *testing.T, l *ledger) *plant {
	t.Helper()
	dir, err := os.MkdirTemp("", "soak") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	p := &plant{dir: dir, hop: nextHop(t, l), log: &noise{}, modules: map[string][]byte{}, now: epoch{build: "a", trial: "live"}}
	for _, build := range []string{"a", "b"} {
		p.modules[build] = goGuest(t, build)
	}
	if err := p.write(p.now); err != nil {
		t.Fatal(err)
	}
	if p.r, err = relay.Open(context.Background(), relay.Options{ConfigFile: p.file("pipeline.hcl"), LogOutput: p.log}); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.r.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the relay ended with %v", err)
		}
	})
	return p
}

// goGuest compiles the plugin in Go.
func goGuest(t *testing.T, build string) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), build+".wasm")
	cmd := exec.Command("go", "build", "-buildmode=c-shared", "-ldflags=-s -w -X main.build="+build, "-o", out, "./testdata/guest")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, b)
	}
	wasm, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return wasm
}

func (p *plant) file(name string) string { return filepath.Join(p.dir, name) }

// reload returns what a reload leads to: each time to another generation, and
// each second time to another build of the module in Go, whose file is swapped
// under the same configuration.
func (p *plant) reload(generation int) (epoch, func() error) {
	e := p.now
	e.generation, e.build = generation, []string{"a", "b"}[generation/2%2]
	return e, func() error {
		p.now = e
		if err := p.write(e); err != nil {
			return err
		}
		return p.r.Reload(context.Background())
	}
}

// decision returns what the operator decides about the candidate behind a reload,
// and what that leads to.
func (p *plant) decision(step int) (epoch, func() error) {
	e, decide := p.now, p.r.ResetStage
	switch e.trial = "live"; step % 3 {
	case 1:
		e.trial, decide = "next", p.r.PromoteStage
	case 2:
		decide = p.r.RollBackStage
	}
	return e, func() error {
		p.now = e
		_, err := decide("trial")
		return err
	}
}

// write makes the files those of an epoch. The module in Rust has other octets
// in each generation, though it does the same: it is loaded and compiled anew.
func (p *plant) write(e epoch) error {
	rust, _ := plugins.Builtin("rewrite")
	for name, content := range map[string][]byte{
		"go.wasm":      p.modules[e.build],
		"rust.wasm":    marked(rust, strconv.Itoa(e.generation)),
		"pipeline.hcl": []byte(fmt.Sprintf(config, p.dir, e.generation, e.generation, e.generation, p.hop)),
	} {
		if err := os.WriteFile(p.file(name+".new"), content, 0o600); err != nil {
			return err
		}
		if err := os.Rename(p.file(name+".new"), p.file(name)); err != nil {
			return err
		}
	}
	return nil
}

// marked appends a custom section.
func marked(wasm []byte, text string) []byte {
	section := append([]byte{4, 's', 'o', 'a', 'k'}, text...)
	return append(append(bytes.Clone(wasm), 0, byte(len(section))), section...)
}

const config = `
server {
  hostname = "relay.test"
  data_dir = "%s/data"
  log {
    level = "warn"
  }
}
admin { address = "127.0.0.1:0" }
listener "smtp" "in" {
  address    = "127.0.0.1:0"
  pipeline   = pipeline.in
  relay_from = ["127.0.0.0/8"]
}
store "soak" {}
plugin "go" {
  source = "./go.wasm"
  grant {
    read  = ["envelope", "headers"]
    write = ["headers"]
    kv    = [store.soak]
  }
  limits { instances = 6 }
}
plugin "rust" {
  source = "./rust.wasm"
  grant {
    read  = ["envelope", "headers", "body"]
    write = ["headers", "recipients", "sender", "body"]
  }
  limits { instances = 6 }
}
plugin "trial" { source = "builtin:rewrite" }
pipeline "in" {
  stage "go" {
    plugin = plugin.go
    config { generation = %d }
  }
  stage "rust" {
    plugin = plugin.rust
    config {
      map_sender {
        from = "@here.test"
        to   = "@g%d.test"
      }
      add_header {
        name  = "X-Rust"
        value = "%d"
      }
    }
  }
  stage "trial" {
    plugin = plugin.trial
    config {
      add_header {
        name  = "X-Trial"
        value = "live"
      }
    }
    candidate {
      plugin = plugin.trial
      config {
        add_header {
          name  = "X-Trial"
          value = "next"
        }
      }
    }
  }
}
routing {
  rule { route = route.next }
}
route "next" {
  smarthost { hosts = ["%s"] }
}
`

// instances are those that each stage has when nothing runs: one, and one of its
// candidate.
var instances = map[string]int{"go": 1, "rust": 1, "trial": 2}

var instancesLine = regexp.MustCompile(`(?m)^postroad_plugin_instances\{stage="(\w+)"\} (\d+)$`)

// settled waits until only the instances of the live generation are left.
func (p *plant) settled(patience time.Duration) error {
	for until := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		got, err := p.instances()
		if err != nil || maps.Equal(got, instances) {
			return err
		}
		if time.Now().After(until) {
			return fmt.Errorf("the instances are %v, want %v", got, instances)
		}
	}
}

// instances reads the relay's figures.
func (p *plant) instances() (map[string]int, error) {
	res, err := http.Get("http://" + p.r.Info().Admin + "/metrics")
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	found := map[string]int{}
	for _, m := range instancesLine.FindAllSubmatch(text, -1) {
		found[string(m[1])], _ = strconv.Atoi(string(m[2])) // the expression wants digits
	}
	return found, err
}

// noise is what the relay logs: warnings and errors, of which there must be
// none.
type noise struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer.
func (n *noise) Write(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.b.Len() < 4000 {
		n.b.Write(p)
	}
	return len(p), nil
}

func (n *noise) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.b.String()
}
