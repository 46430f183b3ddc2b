// SPDX-License-Identifier: Apache-2.0

//go:build interop

package crash

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/postroad-mail/postroad/core/internal/testkit"
)

// underTrace makes a program whose lives are traced into a file: the system
// calls that matter, with the paths of their files and all octets they write.
func underTrace(t *testing.T, binary string) (p *program, trace string) {
	t.Helper()
	p = newProgram(t, binary)
	trace = filepath.Join(filepath.Dir(p.log), "trace")
	p.binary = filepath.Join(filepath.Dir(p.log), "traced")
	calls := "write,pwrite64,writev,pwritev,sendto,sendmsg,fsync,fdatasync,sync_file_range,rename,renameat,renameat2"
	script := fmt.Sprintf("#!/bin/sh\nexec strace -D -f -y -s 70000 -e trace=%s -o %s %s \"$@\"\n", calls, trace, binary)
	if err := os.WriteFile(p.binary, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return p, trace
}

// TestEveryReplyFollowsASync traces a relay under load. Before each 250 the log
// was synced, after it got what the 250 is for; and for a big message its file,
// its name and the folder too, in that order.
func TestEveryReplyFollowsASync(t *testing.T) {
	if _, err := exec.LookPath("strace"); err != nil {
		t.Fatal("strace is missing: .ci/install installs it")
	}
	p, file := underTrace(t, build(t))
	c := newCampaign(t, "")
	c.p = p
	c.l.begin()
	hop := testkit.NewSink(t, testkit.SinkOptions{Script: stall(0)})
	r := p.start(t, hop.Addr().String())
	enough := make(chan struct{})
	o := &load{addr: r.addr, l: c.l, acked: func(n int, _ time.Time) {
		if n == 150 {
			close(enough)
		}
	}}
	o.start()
	<-enough
	o.dying.Store(true)
	r.kill()
	o.end()
	calls := readTrace(t, file)
	replies, faults := unsynced(calls)
	for _, f := range faults {
		t.Error(f)
	}
	if replies < 150 {
		t.Errorf("only %d replies in the trace", replies)
	}
	t.Logf("%d system calls, %d replies, each behind a sync", len(calls), replies)
	theTraceFindsWhatIsMissing(t, calls, replies)
}

// theTraceFindsWhatIsMissing takes the syncs of one kind out of a trace.
func theTraceFindsWhatIsMissing(t *testing.T, calls []call, replies int) {
	for name, is := range map[string]func(call) bool{
		"the log":    func(c call) bool { return strings.HasSuffix(c.path, ".log") },
		"the body":   func(c call) bool { return strings.Contains(c.path, "/spool/tmp/") },
		"the folder": func(c call) bool { return strings.HasSuffix(c.path, "/spool") },
	} {
		var left []call
		for _, c := range calls {
			if !c.sync() || !is(c) {
				left = append(left, c)
			}
		}
		if _, faults := unsynced(left); len(faults) < replies/10 {
			t.Errorf("without the syncs of %s only %d of %d replies are found", name, len(faults), replies)
		}
	}
}

// call is one system call: it began and ended at these lines of the trace.
type call struct {
	name, path, args string
	begin, end       int
}

func (c *call) sync() bool { return c.name == "fsync" || c.name == "fdatasync" }

var (
	beginning = regexp.MustCompile(`^(\d+) +(\w+)\((?:\d+<([^>]*)>)?(.*)$`)
	resuming  = regexp.MustCompile(`^(\d+) +<\.\.\. (\w+) resumed>(.*)$`)
	accepted  = regexp.MustCompile(`"250 2\.[^"]*\b([0-9A-Z]{26})`)
)

// readTrace reads a trace of many threads: a call whose line ends in
// "<unfinished ...>" ends where it is resumed. Calls that failed are left out.
func readTrace(t *testing.T, file string) []call {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	open := map[string]*call{}
	var done []call
	for n, line := range strings.Split(string(text), "\n") {
		if m := resuming.FindStringSubmatch(line); m != nil {
			if c := open[m[1]]; c != nil && !strings.Contains(m[3], "= -1") {
				c.end, c.args = n, c.args+m[3]
				done = append(done, *c)
			}
			continue
		}
		m := beginning.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		c := call{name: m[2], path: m[3], args: m[4], begin: n, end: n}
		switch {
		case strings.HasSuffix(line, "<unfinished ...>"):
			open[m[1]] = &c
		case !strings.Contains(line[max(0, len(line)-200):], "= -1"):
			done = append(done, c)
		}
	}
	return done
}

// unsynced looks at every reply, and returns how many there are and what is
// wrong.
func unsynced(calls []call) (replies int, faults []string) {
	for _, c := range calls {
		if strings.HasPrefix(c.path, "/") { // a file, no socket
			continue
		}
		m := accepted.FindStringSubmatch(c.args)
		if m == nil {
			continue
		}
		replies++
		if why := promised(calls, m[1], c.begin); why != "" {
			faults = append(faults, m[1]+": "+why)
		}
	}
	return replies, faults
}

// promised says what was not durable of a message when its reply began.
func promised(calls []call, id string, reply int) string {
	logged := last(calls, reply, func(c *call) bool { return strings.HasSuffix(c.path, ".log") && strings.Contains(c.args, id) })
	if logged == nil {
		return "the log got nothing of it"
	}
	if !syncedBetween(calls, logged.path, logged.end, reply) {
		return "the log was not synced"
	}
	named := last(calls, reply, func(c *call) bool {
		return strings.HasPrefix(c.name, "rename") && strings.Contains(c.args, "/spool/"+id)
	})
	if named == nil {
		return "" // it has no file
	}
	from := named.args[strings.Index(named.args, `"`)+1:]
	from = from[:strings.Index(from, `"`)]
	folder := strings.TrimSuffix(filepath.Dir(from), "/tmp")
	switch {
	case !syncedBetween(calls, from, 0, named.begin):
		return "the body was not synced before it got its name"
	case !syncedBetween(calls, folder, named.end, logged.begin):
		return "the folder was not synced before the log named the body"
	}
	return ""
}

// last returns the last call of a kind that had ended before a line.
func last(calls []call, before int, is func(*call) bool) (found *call) {
	for i := range calls {
		if c := &calls[i]; c.end < before && is(c) && (found == nil || c.end > found.end) {
			found = c
		}
	}
	return found
}

// syncedBetween reports a sync of a path that began and ended between two lines.
func syncedBetween(calls []call, path string, from, to int) bool {
	return last(calls, to, func(c *call) bool { return c.sync() && c.path == path && c.begin > from }) != nil
}
