// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/core/relay"
)

// call runs a command line and returns what it printed and its exit code.
func call(stdin string, args ...string) (stdout, stderr string, code int) {
	var out, errs bytes.Buffer
	code = run(args, streams{strings.NewReader(stdin), &out, &errs})
	return out.String(), errs.String(), code
}

const testConfig = `
server { data_dir = "data" }
admin { address = "" }
listener "smtp" "in" {
  address    = "127.0.0.1:0"
  pipeline   = pipeline.in
  relay_from = ["127.0.0.0/8"]
}
plugin "filter" { source = "builtin:filter" }
pipeline "in" {
  stage "filter" {
    plugin = plugin.filter
    config {
      deny_header {
        name   = "Subject"
        match  = "odd"
        action = "quarantine"
        text   = "looks odd"
      }
    }
  }
}
routing {
  rule {
    domains = ["home.test"]
    route   = route.boxes
  }
  rule { route = route.nowhere }
}
route "boxes" {
  maildir { create = true }
}
route "nowhere" {
  smarthost { hosts = ["127.0.0.1:1"] }
}
`

func writeConfig(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "pipeline.hcl")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// running starts a relay with testConfig and returns its file and address.
func running(t *testing.T) (file, addr string) {
	t.Helper()
	file, addr, _ = startAndStop(t)
	return file, addr
}

// startAndStop is running with a function that stops the relay.
func startAndStop(t *testing.T) (file, addr string, stop func()) {
	t.Helper()
	file = writeConfig(t, testConfig)
	r, err := relay.Open(context.Background(), relay.Options{ConfigFile: file, LogOutput: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return file, r.Addr("in").String(), stop
}

func TestSendThenQueueCommands(t *testing.T) {
	file, addr := running(t)
	out, errs, code := call("", "send", "--server", addr, "--to", "a@home.test", "--subject", "odd one", "--header", "X-Test: 1", "text")
	if code != 0 || !strings.Contains(out, "queued as") {
		t.Fatalf("send: %d %s%s", code, out, errs)
	}
	out, _, code = call("", "-c", file, "--json", "queue", "list", "--state", "quarantined")
	var list []mail.QueueEntry
	if err := json.Unmarshal([]byte(out), &list); err != nil || code != 0 || len(list) != 1 {
		t.Fatalf("list: %d %s (%v)", code, out, err)
	}
	id := list[0].ID
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"queue", "list"}, 0, "looks odd"},
		{[]string{"queue", "show", id}, 0, "Subject: odd one"},
		{[]string{"queue", "show", "NONE"}, exitData, "no such message"},
		{[]string{"queue", "retry", id}, 0, "0 messages due now"}, // it is quarantined
		{[]string{"queue", "hold", id, "--reason", "for a look"}, 0, "1 message held"},
		{[]string{"queue", "list", "--state", "held"}, 0, "for a look"},
		{[]string{"queue", "drop", "--reason", "x"}, exitUsage, "--all"},
		{[]string{"queue", "drop", id}, exitUsage, "--reason"},
		{[]string{"queue", "drop", id, "--all", "--reason", "x"}, exitUsage, "exclude each other"},
		{[]string{"queue", "drop", "--al"}, exitUsage, "Try: postroad queue drop --help"},
		{[]string{"queue", "list", "--limit", "0"}, exitUsage, "--limit must be 1 or more"},
		{[]string{"queue", "hold", id, "--for", "0d", "--reason", "x"}, exitUsage, "\"0d\" is not a time such as 90s"},
		{[]string{"queue", "reroute", id, "--to", "moon", "--reason", "x"}, exitData, "no route \"moon\"; it has "},
		{[]string{"queue", "drop", "--all", "--reason", "x"}, 0, "1 message, 1 recipient"},
		{[]string{"queue", "list"}, 0, "for a look"},
		{[]string{"queue", "drop", "--all", "--reason", "x", "--yes"}, 0, "1 message dropped"},
		{[]string{"queue", "list"}, 0, "The queue is empty."},
	} {
		out, errs, code := call("", append([]string{"-c", file}, c.args...)...)
		if code != c.code || !strings.Contains(out+errs, c.want) {
			t.Errorf("%v: exit code %d, %s%s", c.args, code, out, errs)
		}
	}
}

func TestTheQueueOfAStoppedRelayCanBeRead(t *testing.T) {
	file := writeConfig(t, testConfig)
	ctx, stop := context.WithCancel(context.Background())
	r, err := relay.Open(ctx, relay.Options{ConfigFile: file, LogOutput: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	id, err := r.Submit(ctx, relay.Submission{Sender: "a@home.test", Recipients: []string{"b@home.test"}, Content: strings.NewReader("Subject: odd\n\nx\n")})
	if err != nil {
		t.Fatal(err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"queue", "list"}, {"queue", "show", id}, {"queue", "explain", id}} {
		out, errs, code := call("", append([]string{"-c", file}, args...)...)
		if code != 0 || !strings.Contains(out, "looks odd") || !strings.Contains(errs, "No relay is running") {
			t.Errorf("%v: %d %s%s", args, code, out, errs)
		}
	}
}

func TestSendReadsStandardInputAndFiles(t *testing.T) {
	_, addr := running(t)
	if out, errs, code := call("from a pipe\n", "send", "--server", addr, "--to", "a@home.test"); code != 0 {
		t.Errorf("%d %s%s", code, out, errs)
	}
	eml := writeConfig(t, "Subject: whole\n\nmessage\n")
	if out, errs, code := call("", "--json", "send", "--server", addr, "--to", "a@home.test", "--file", eml); code != 0 || !strings.Contains(out, `"reply"`) {
		t.Errorf("%d %s%s", code, out, errs)
	}
}

func TestFaultsHaveTheirExitCodes(t *testing.T) {
	good := writeConfig(t, testConfig)
	bad := writeConfig(t, strings.ReplaceAll(testConfig, "route.boxes", "route.bxes"))
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	used := writeConfig(t, strings.Replace(testConfig, "127.0.0.1:0", taken.Addr().String(), 1))
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--help"}, 0, "Run the relay in the foreground"},
		{nil, 0, "Run the relay in the foreground"},
		{[]string{"version"}, 0, "postroad "},
		{[]string{"--json", "version"}, 0, `"version"`},
		{[]string{"nonsense"}, exitUsage, "nonsense"},
		{[]string{"send"}, exitUsage, "--to"},
		{[]string{"send", "--server", "127.0.0.1:1", "--to", "a@b.test", "x"}, exitUnavailable, "--server names another"},
		{[]string{"send", "--to", "a@b.test", "--notify", "never,delay", "x"}, exitUsage, "--notify"},
		{[]string{"send", "--to", "a@b.test", "--ret", "all", "x"}, exitUsage, "RET is FULL or HDRS"},
		{[]string{"send", "--to", "a@b.test", "--envid", "ü", "x"}, exitUsage, "--envid"},
		{[]string{"send", "--to", "a@b.test", "--orcpt", "bob@b.test", "x"}, exitUsage, "rfc822;bob@example.org"},
		{[]string{"send", "--to", "a@b.test", "--to", "c@b.test", "--orcpt", "rfc822;bob@b.test", "x"}, exitUsage, "one for each recipient"},
		{[]string{"check", good}, 0, "is good"},
		{[]string{"check", "-v", good}, 0, `deny_header`},
		{[]string{"check", "-v", good}, 0, `# plugin "filter": builtin:filter (from: builtin), sha256 `},
		{[]string{"--json", "check", good}, 0, `"from": "builtin"`},
		{[]string{"--json", "check", good}, 0, `"ok": true`},
		{[]string{"check", bad}, exitConfig, "route.boxes"},
		{[]string{"check", "gone.hcl"}, exitConfig, "gone.hcl"},
		{[]string{"run", "-c", bad}, exitConfig, "pipeline.hcl:"},
		{[]string{"run", "-c", used}, exitUnavailable, "in use"},
		{[]string{"queue", "list", "-c", good}, exitUnavailable, "no relay has run"},
		{[]string{"queue", "drop", "--all", "--reason", "x", "-c", good}, exitUnavailable, "no relay is running"},
	} {
		out, errs, code := call("", c.args...)
		if code != c.code || !strings.Contains(out+errs, c.want) {
			t.Errorf("%v: exit code %d, %s%s", c.args, code, out, errs)
		}
	}
}
