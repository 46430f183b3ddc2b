// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"math"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestMain lets the test binary be run again as a helper process, as the
// benchmark's own binary is.
func TestMain(m *testing.M) {
	if _, ok := helpers()[first(os.Args[1:])]; ok {
		os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// TestEveryCaseAgainstTheRealBinary runs the command as a user does, with small
// numbers and the peers that need Go alone.
func TestEveryCaseAgainstTheRealBinary(t *testing.T) {
	b := newBench(t, 40)
	peers, _, err := choose(allPeers(b.options, repo(t)), []string{"postroad", "postroad+1", "postroad+3", "none"})
	if err != nil {
		t.Fatal(err)
	}
	r := newReport(t.Context(), b, repo(t), peers, []string{"a note"})
	all := r.cases
	r.cases = all[1:2] // c20/reuse with all of them
	if err := b.rounds(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	r.peers, r.cases = peers[:1], append(all[:1:1], all[4:]...)
	if err := b.rounds(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	r.peers, r.cases = peers, all
	checkReport(t, r)
}

func checkReport(t *testing.T, r *report) {
	t.Helper()
	var out bytes.Buffer
	dir := t.TempDir()
	if err := r.publish(&out, dir); err != nil {
		t.Errorf("a case failed: %v", err)
	}
	text, err := os.ReadFile(filepath.Join(dir, r.fileName()))
	if err != nil || string(text) != out.String() {
		t.Errorf("the file is not what was printed: %v", err)
	}
	for _, want := range []string{"\n| postroad+3 | ", "\n| none | ", "## large: ", "## idle1000: ", "## deferred: ", "## Targets", "- a note\n", "go1."} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the report lacks %q:\n%s", want, out.String())
		}
	}
	s := r.samples[key{"c20/reuse", "postroad+3"}][0]
	for _, m := range []metric{accepted, delivered, p50, p99, syncs} {
		if v := s.values[m]; math.IsNaN(v) || v <= 0 {
			t.Errorf("%v = %v", m, v)
		}
	}
}

// newBench builds the relay and makes a bench of n messages in each case.
func newBench(t *testing.T, n int) *bench {
	t.Helper()
	o, err := parse([]string{"-runs", "1", "-size", "20000", "-dir", t.TempDir()}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	o.messages = n
	if o.binary, err = buildPostroad(t.Context(), repo(t), t.TempDir()); err != nil {
		t.Fatal(err)
	}
	return &bench{options: o, tools: ownTools{o.self}, progress: t.Output(), stall: 30 * time.Second}
}

func repo(t *testing.T) string {
	t.Helper()
	dir, err := moduleDir(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestAFaultyServerFailsTheCase puts a server before the next hop that loses
// every message, one that damages them, and one that sends them twice.
func TestAFaultyServerFailsTheCase(t *testing.T) {
	for name, c := range map[string]struct {
		forward func(t *testing.T, hop string, message []byte)
		want    string
	}{
		"loses": {func(*testing.T, string, []byte) {}, "of 5 accepted messages 0 arrived"},
		"damages": {func(t *testing.T, hop string, m []byte) {
			forward(t, hop, bytes.Replace(m, []byte("tells"), []byte("tolls"), 1))
		}, "5 damaged"},
		"doubles": {func(t *testing.T, hop string, m []byte) { forward(t, hop, m); forward(t, hop, m) }, "5 more than once"},
	} {
		t.Run(name, func(t *testing.T) {
			b := &bench{options: options{self: self(t), dir: t.TempDir(), messages: 5, size: 2048}, stall: 200 * time.Millisecond}
			b.tools = ownTools{b.self}
			p := peer{name: name, start: func(_ context.Context, at place) (*server, error) {
				return &server{addr: faultyServer(t, func(m []byte) { c.forward(t, at.nextHop, m) })}, nil
			}}
			if s := b.one(t.Context(), allCases(options{messages: 5, size: 2048})[1], p); !strings.Contains(s.failed, c.want) {
				t.Errorf("failed = %q, want %q", s.failed, c.want)
			}
		})
	}
}

func self(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// faultyServer takes every message and hands it to got as it came over the
// wire, before it says 250.
func faultyServer(t *testing.T, got func(message []byte)) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	t.Cleanup(func() { l.Close(); <-ended })
	go func() {
		defer close(ended)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go takeAll(c, got)
		}
	}()
	return l.Addr().String()
}

func takeAll(c net.Conn, got func([]byte)) {
	s := newSession(newSink(), c)
	defer c.Close()
	s.reply("220 faulty\r\n")
	for {
		line, err := s.line()
		if err != nil {
			return
		}
		if !bytes.HasPrefix(line, []byte("DATA")) {
			if !s.answer(line) {
				s.out.Flush()
				return
			}
			continue
		}
		s.reply("354 go on\r\n")
		s.out.Flush()
		var message []byte
		for !bytes.HasSuffix(message, []byte("\r\n.\r\n")) {
			line, err := s.in.ReadBytes('\n')
			if err != nil {
				return
			}
			message = append(message, line...)
		}
		got(message)
		s.reply("250 taken\r\n")
	}
}

// forward sends a message that is ready for the wire to the next hop.
func forward(t *testing.T, hop string, message []byte) {
	c := &client{addr: hop}
	defer c.quit()
	if err := c.open(); err != nil {
		t.Error(err)
		return
	}
	for _, step := range []struct{ line, want string }{
		{"MAIL FROM:<a@b>\r\n", "250"}, {"RCPT TO:<c@d>\r\n", "250"}, {"DATA\r\n", "354"}, {string(message), "250"},
	} {
		if err := c.ask([]byte(step.line), step.want); err != nil {
			t.Error(err)
		}
	}
}

func TestMessagesHaveTheirSizeAndDiffer(t *testing.T) {
	for _, size := range []int{minimumSize, small, 200_000} {
		m := newMaker(size)
		one, two := m.appendTo(nil, 1), m.appendTo(nil, 2)
		if n := len(one); n > size+100 || n < size-300 {
			t.Errorf("size %d: %d octets", size, n)
		}
		if bytes.Equal(one[len(one)/2+200:], two[len(two)/2+200:]) {
			t.Errorf("size %d: two messages have the same second half", size)
		}
		if !bytes.Contains(one, []byte("\r\n..")) {
			t.Errorf("size %d: no line begins with a dot", size)
		}
	}
}

func TestMilterSession(t *testing.T) {
	ours, theirs := net.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- milterSession(theirs) }()
	offer := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, 6), 0x1ff), 0x1fffff)
	talk := []struct {
		command byte
		data    string
		want    []byte
	}{
		{milterNegotiate, string(offer), appendPacket(nil, 'O', []byte{0, 0, 0, 6, 0, 0, 0, 1, 0, 0, 3, 0xff})},
		{milterMacros, "Mi\x00x\x00", nil},
		{milterEnd, "", appendPacket(appendPacket(nil, 'h', []byte("X-Milter\x00seen\x00")), 'c', nil)},
		{milterAbort, "", nil},
		{milterQuit, "", nil},
	}
	for _, step := range talk {
		if _, err := ours.Write(appendPacket(nil, step.command, []byte(step.data))); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(step.want))
		if _, err := io.ReadFull(ours, got); err != nil || !bytes.Equal(got, step.want) {
			t.Fatalf("%c: got %q, %v", step.command, got, err)
		}
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func FuzzMilterSession(f *testing.F) {
	f.Add(appendPacket(nil, milterNegotiate, make([]byte, 12)))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 'O'})
	f.Add([]byte{0, 0, 0, 0, 'E'})
	f.Fuzz(func(_ *testing.T, in []byte) {
		_ = milterSession(struct {
			io.Reader
			io.Writer
		}{bytes.NewReader(in), io.Discard})
	})
}

func TestCommandLine(t *testing.T) {
	for args, want := range map[string]string{
		"-cases c20/wrong": `-cases does not know "c20/wrong"; there are: c20/conn, `,
		"-peers sendmail":  `-peers does not know "sendmail"`,
		"-runs 0":          "-runs has to be at least 1",
		"-size 10":         "-size has to be at least 1024",
		"-tools mine":      `not "mine"`,
		"more":             `"more" is not a flag`,
	} {
		var errs bytes.Buffer
		if code := run(strings.Fields(args), nil, io.Discard, &errs); code != 2 || !strings.Contains(errs.String(), want) {
			t.Errorf("%s: exit code %d, %s", args, code, errs.String())
		}
	}
}

func TestReadingNumbers(t *testing.T) {
	for v, want := range map[float64]string{1234.4: "1,234", 0: "0.00", 0.1234: "0.123", 12.34: "12.3", 1234567: "1,234,567", 100: "100"} {
		if got := digits(v); got != want {
			t.Errorf("digits(%v) = %s, want %s", v, got, want)
		}
	}
	if s, ok := spreadOf([]float64{3, math.NaN(), 1, 2}); !ok || s != (spread{2, 1, 3}) {
		t.Errorf("spread %v %v", s, ok)
	}
	if got := times(cpuPerMessage, []float64{0.5}, []float64{2}); got[0] != 4 {
		t.Errorf("times better %v, want 4", got)
	}
	if v, ok := metricSample(`postroad_queue_messages{state="ready"} 7`, "postroad_queue_messages"); !ok || v != 7 {
		t.Errorf("metric %v %v", v, ok)
	}
	if _, ok := metricSample("postroad_queue_messages_more 7", "postroad_queue_messages"); ok {
		t.Error("took another metric's sample")
	}
	if a := parseCount("sess=1 quit=0 mesg=4\rsess=2 quit=1 mesg=15\rsess=3 qu"); a.Messages != 15 || a.Connections != 2 {
		t.Errorf("smtp-sink's count: %+v", a)
	}
}

func TestChildrenCountWithTheirParent(t *testing.T) {
	child, _, err := startHelper(self(t), filepath.Join(t.TempDir(), "log"), "sink")
	if err != nil {
		t.Fatal(err)
	}
	defer child.stop()
	found := false
	for _, s := range tree(os.Getpid()) {
		found = found || s.pid == child.pid()
	}
	if !found && fileExists("/proc/self/stat") {
		t.Error("a child is not in the tree")
	}
	both, _ := memory(os.Getpid())
	one, own := memory(child.pid())
	if fileExists("/proc/self/smaps_rollup") && (both <= one || own > one) {
		t.Error("memory leaves out the parent or the child")
	}
}

func fileExists(path string) bool { _, err := os.Stat(path); return err == nil }

func TestStraceIsCounted(t *testing.T) {
	const text = "12 fsync(3)               = 0\n13 fdatasync(4 <unfinished ...>\n12 <... fdatasync resumed>) = 0\n13 sync_file_range(4, 0, 1, 2) = 0\n+++ exited with 0 +++\n"
	if n := countCalls([]byte(text)); n != 2 {
		t.Errorf("%d calls, want 2", n)
	}
}

// TestTargets: what is enough, what is not, and what was not measured.
func TestTargets(t *testing.T) {
	r := &report{samples: map[key][]sample{}}
	ours, theirs := newSample(), newSample()
	ours.values[accepted], theirs.values[accepted] = 4000, 1000
	ours.values[delivered], theirs.values[delivered] = 4000, 1000
	r.samples[key{"c20/conn", aim}], r.samples[key{"c20/conn", base}] = []sample{ours}, []sample{theirs}
	idle := newSample()
	idle.values[idleMemory], idle.values[afterMemory] = 29, 50
	r.samples[key{"idle1000", aim}] = []sample{idle}
	failed := newSample()
	failed.failed = "lost"
	r.samples[key{"deferred", aim}] = []sample{failed}
	var b strings.Builder
	r.targets(&b)
	for _, want := range []string{
		"| c20/conn | accepted/s, times postfix | ≥ 4 | 4.00 | met |\n",
		"| c20/conn | delivered/s, times postfix | ≥ 5 | 4.00 | **missed** |\n",
		"| c20/reuse | accepted/s, times postfix | ≥ 8 | – | not measured |\n",
		"| idle1000 | MiB idle | < 30 | 29.0 | met |\n",
		"| idle1000 | MiB with 1,000 idle connections | < 50 | 50.0 | **missed** |\n",
		"| deferred | MiB with 20,000 deferred messages | < 80 | – | not measured |\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, b.String())
		}
	}
}

// TestSlowPeersGetFewerMessages, but where memory is measured, and never more
// than the case has.
func TestSlowPeersGetFewerMessages(t *testing.T) {
	p := newPeer("slow", "", nothingMissing, startNone).slow(12)
	for _, c := range []struct{ kind, sessions, messages, want int }{
		{int(relayed), 20, 6000, 500}, {int(relayed), 100, 600, 100}, {int(relayed), 10, 200, 50}, {int(relayed), 10, 30, 30}, {int(deferred), 20, 20000, 20000},
	} {
		if got := p.loaded(benchCase{kind: kind(c.kind), sessions: c.sessions, messages: c.messages}); got.messages != c.want {
			t.Errorf("%+v: %d messages", c, got.messages)
		}
	}
}

func TestWhatIsWrittenIsCounted(t *testing.T) {
	dir := t.TempDir()
	before := written(os.Getpid())
	if err := os.WriteFile(filepath.Join(dir, "file"), make([]byte, 1<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := written(os.Getpid()) - before; fileSystem(dir) == "ext4" && got < 1<<20 {
		t.Errorf("%v octets were written, at least %d expected", got, 1<<20)
	}
	if n := deviceWritten("/proc"); !math.IsNaN(n) {
		t.Errorf("/proc is no device, and %v octets were written to it", n)
	}
}
