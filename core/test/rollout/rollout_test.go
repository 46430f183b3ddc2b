// SPDX-License-Identifier: Apache-2.0

// Package rollout tries the next version of a filter on the real program, as an
// operator does: by pipeline.hcl, signals and the command line, while clients
// stay connected. What each command prints is in testdata.
package rollout

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/postroad-mail/postroad/core/internal/testkit"
	"github.com/postroad-mail/postroad/core/relay"
	"github.com/postroad-mail/postroad/plugins"
)

// patience bounds what must happen; nothing is measured with it.
const patience = time.Minute

// TestRollout runs the files in testdata, each on a relay of its own. Their
// commands:
//
//	write FILE              the lines below; SINK is where mail is to go
//	module FILE NAME        a builtin as a file, with octets of its own: the next build of it
//	start, stop             runs the program, ends it by SIGTERM
//	reload                  SIGHUP; what the relay says of it
//	session NAME…           connects
//	send NAME FIELD=VALUE…  one message in that session; from= and subject=, and what came of it
//	mail NAME from=…        begins a transaction
//	data NAME subject=…     ends it
//	share n=N percent=P     N sessions of two messages: as many as asked for meet the canary
//	arrived                 subjects of the messages that the next hop got since the last time
//	postroad ARG…           the command line; with times, ids and digests replaced
//	log TEXT                lines of the log with that text, of this life
//	find FOLDER             below the data directory: is the text below in it
func TestRollout(t *testing.T) {
	binary := build(t)
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		s := newShop(t, binary)
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			t.Helper()
			do, ok := commands[d.Cmd]
			if !ok {
				t.Fatalf("%s: no such command", d.Pos)
			}
			out, err := do(s, t, d)
			if err != nil {
				t.Fatalf("%s: %s: %v\n%s", d.Pos, d.Cmd, err, s.tail())
			}
			return out
		})
		s.stop(t)
	})
}

type command func(s *shop, t *testing.T, d *datadriven.TestData) (string, error)

var commands = map[string]command{
	"write": func(s *shop, _ *testing.T, d *datadriven.TestData) (string, error) {
		text := strings.ReplaceAll(d.Input, "SINK", s.sink.Addr().String())
		return "", os.WriteFile(s.file(arg(d, 0)), []byte(text+"\n"), 0o600)
	},
	"module": func(s *shop, _ *testing.T, d *datadriven.TestData) (string, error) {
		wasm, _ := plugins.Builtin(arg(d, 1))
		section := []byte{0, 6, 5, 'b', 'u', 'i', 'l', 'd'}
		return "", os.WriteFile(s.file(arg(d, 0)), append(append([]byte{}, wasm...), section...), 0o600)
	},
	"start": func(s *shop, t *testing.T, _ *datadriven.TestData) (string, error) { return "", s.start(t) },
	"stop": func(s *shop, t *testing.T, _ *datadriven.TestData) (string, error) {
		s.stop(t)
		return "", nil
	},
	"reload": func(s *shop, _ *testing.T, _ *datadriven.TestData) (string, error) { return s.reload() },
	"session": func(s *shop, t *testing.T, d *datadriven.TestData) (string, error) {
		for n := range d.CmdArgs {
			if err := s.connect(t, arg(d, n)); err != nil {
				return "", err
			}
		}
		return "", nil
	},
	"send": func(s *shop, _ *testing.T, d *datadriven.TestData) (string, error) {
		if reply, err := s.mail(arg(d, 0), option(d, "from")); err != nil || reply != "" {
			return reply, err
		}
		return s.data(arg(d, 0), option(d, "subject"))
	},
	"mail": func(s *shop, _ *testing.T, d *datadriven.TestData) (string, error) {
		return s.mail(arg(d, 0), option(d, "from"))
	},
	"data": func(s *shop, _ *testing.T, d *datadriven.TestData) (string, error) {
		return s.data(arg(d, 0), option(d, "subject"))
	},
	"share":   share,
	"arrived": arrived,
	"postroad": func(s *shop, _ *testing.T, d *datadriven.TestData) (string, error) {
		var args []string
		for n := range d.CmdArgs {
			args = append(args, arg(d, n))
		}
		return s.call(args...)
	},
	"log": func(s *shop, _ *testing.T, d *datadriven.TestData) (string, error) {
		return s.plain(s.log.lines(strings.Trim(d.Input, "\n"))), nil
	},
	"find": func(s *shop, _ *testing.T, d *datadriven.TestData) (string, error) { return s.find(arg(d, 0), d.Input) },
}

func arg(d *datadriven.TestData, n int) string { return d.CmdArgs[n].Key }

// option returns what an argument KEY=VALUE holds; words are apart by commas.
func option(d *datadriven.TestData, key string) string {
	for _, a := range d.CmdArgs {
		if a.Key == key {
			return strings.Join(a.Vals, " ")
		}
	}
	return ""
}

// share opens sessions with two messages each, of which the canary gets both or
// none: which sessions is chance, how many is bounded, and each message is
// counted. The candidate refuses what it gets.
func share(s *shop, t *testing.T, d *datadriven.TestData) (string, error) {
	var n, percent, refused int
	if _, err := fmt.Sscan(option(d, "n")+" "+option(d, "percent"), &n, &percent); err != nil {
		return "", err
	}
	before, err := s.stage("in/filter")
	if err != nil {
		return "", err
	}
	for range n {
		replies, err := s.twice(t, "lottery")
		switch {
		case err != nil:
			return "", err
		case replies[0] != replies[1]:
			return fmt.Sprintf("one session got %q\n", replies), nil
		case strings.HasPrefix(replies[0], "550"):
			refused++
		}
	}
	if want := n * percent / 100; refused < want/3 || refused > want*5/3 { // five standard deviations
		return fmt.Sprintf("the canary got %d of %d sessions\n", refused, n), nil
	}
	after, err := s.stage("in/filter")
	if got := after.Calls - before.Calls; err != nil || got != int64(2*refused) {
		return fmt.Sprintf("%d messages were refused, and %d are counted\n", 2*refused, got), err
	}
	return fmt.Sprintf("about %d%% of the sessions, each message counted once\n", percent), nil
}

// twice sends two messages in a session of their own.
func (s *shop) twice(t *testing.T, subject string) (replies [2]string, err error) {
	if err := s.connect(t, "passer-by"); err != nil {
		return replies, err
	}
	defer func() {
		err = errors.Join(err, s.sessions["passer-by"].c.Close())
		delete(s.sessions, "passer-by")
	}()
	for n := range replies {
		if _, err := s.mail("passer-by", "a@here.test"); err != nil {
			return replies, err
		}
		if replies[n], err = s.data("passer-by", subject); err != nil {
			return replies, err
		}
	}
	return replies, nil
}

// stage returns a stage as `postroad --json stage list` prints it.
func (s *shop) stage(name string) (relay.StageState, error) {
	out, err := s.raw("--json", "stage", "list")
	if err != nil {
		return relay.StageState{}, err
	}
	var all []relay.StageState
	if err := json.Unmarshal([]byte(out), &all); err != nil {
		return relay.StageState{}, err
	}
	for _, st := range all {
		if st.Pipeline+"/"+st.Stage == name {
			return st, nil
		}
	}
	return relay.StageState{}, fmt.Errorf("no stage %s in %s", name, out)
}

// arrived waits for every message that was taken.
func arrived(s *shop, t *testing.T, _ *datadriven.TestData) (string, error) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ms, err := s.sink.Wait(ctx, s.taken)
	if err != nil {
		return "", fmt.Errorf("%d of %d messages arrived: %w", len(ms), s.taken, err)
	}
	counts := map[string]int{}
	for _, m := range ms[s.told:] {
		_, rest, _ := strings.Cut(string(m.Content), "Subject: ")
		subject, _, _ := strings.Cut(rest, "\r\n")
		counts[subject]++
	}
	s.told = len(ms)
	var b strings.Builder
	for _, subject := range sorted(counts) {
		fmt.Fprintf(&b, "%d %s\n", counts[subject], subject)
	}
	return b.String(), nil
}

// find tells whether a file below a folder of the data directory holds a text.
func (s *shop) find(folder, text string) (string, error) {
	files, found := 0, "not in"
	err := filepath.WalkDir(s.file("data/"+folder), func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		files++
		content, err := os.ReadFile(path)
		if strings.Contains(string(content), strings.TrimSpace(text)) {
			found = "in"
		}
		return err
	})
	return fmt.Sprintf("%s %d files\n", found, files), err
}

// newShop makes a folder, and a next hop.
func newShop(t *testing.T, binary string) *shop {
	t.Helper()
	dir, err := os.MkdirTemp("", "roll") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return &shop{binary: binary, dir: dir, sink: testkit.NewSink(t, testkit.SinkOptions{}), log: newOutput(), sessions: map[string]*session{}, names: map[string]string{}}
}
