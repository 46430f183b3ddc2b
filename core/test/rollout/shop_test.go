// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/textproto"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/postroad-mail/postroad/core/internal/testkit"
)

// shop is the real program with its folder, its clients and its next hop.
type shop struct {
	binary, dir string
	sink        *testkit.Sink
	cmd         *exec.Cmd // nil while it does not run
	log         *output   // of all lives
	addr        string    // of the listener
	sessions    map[string]*session
	taken       int               // messages that got a 250
	told        int               // messages that arrived and were told
	names       map[string]string // of digests, in the order of their appearance
}

// build makes the binary.
func build(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "postroad")
	cmd := exec.Command("go", "build", "-o", binary, "./core/cmd/postroad")
	cmd.Dir = "../../.."
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return binary
}

func (s *shop) file(name string) string { return filepath.Join(s.dir, name) }

var listens = regexp.MustCompile(`smtp "in" listens on (\S+)`)

// start runs the program until it says what it listens on. It ends with the test.
func (s *shop) start(t *testing.T) error {
	s.log.mark()
	s.cmd = exec.Command(s.binary, "run", "-c", s.file("pipeline.hcl"))
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	if err := s.cmd.Start(); err != nil {
		return err
	}
	cmd := s.cmd
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	})
	line, err := s.log.await(`smtp "in" listens on `)
	if m := listens.FindStringSubmatch(line); m != nil {
		s.addr = m[1]
	}
	return err
}

// stop ends the program in order; every session of this life must still be there.
func (s *shop) stop(t *testing.T) {
	t.Helper()
	if s.cmd == nil {
		return
	}
	for name, c := range s.sessions {
		if err := c.ask("NOOP", 250); err != nil {
			t.Errorf("session %s did not live to the end: %v", name, err)
		}
		c.c.Close()
	}
	clear(s.sessions)
	if err := errors.Join(s.cmd.Process.Signal(syscall.SIGTERM), s.cmd.Wait()); err != nil {
		t.Errorf("the relay ended with %v\n%s", err, s.tail())
	}
	s.cmd = nil
}

// reload sends SIGHUP and returns what the relay says.
func (s *shop) reload() (string, error) {
	s.log.mark()
	if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		return "", err
	}
	line, err := s.log.await("configuration reloaded", "reload refused")
	if strings.Contains(line, "configuration reloaded") {
		return "reloaded\n", err
	}
	_, line, _ = strings.Cut(line, "postroad: ") // behind time and level
	return s.plain(line) + "\n", err
}

// call runs a command line and returns what it prints.
func (s *shop) call(args ...string) (string, error) {
	out, err := s.raw(args...)
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		return fmt.Sprintf("%sexit code %d\n", s.plain(out), failed.ExitCode()), nil
	}
	return s.plain(out), err
}

func (s *shop) raw(args ...string) (string, error) {
	cmd := exec.Command(s.binary, append([]string{"-c", "pipeline.hcl"}, args...)...)
	cmd.Dir = s.dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}

var (
	times   = regexp.MustCompile(`\b20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d[.\d]*(Z|[+-]\d\d:?\d\d)`)
	ids     = regexp.MustCompile(`\b01[0-9A-HJKMNP-TV-Z]{24}\b`)
	digests = regexp.MustCompile(`\b[0-9a-f]{12}([0-9a-f]{52})?\b`)
)

// plain replaces what is another in each run: times, ids, digests and the folder.
func (s *shop) plain(text string) string {
	text = times.ReplaceAllString(strings.ReplaceAll(text, s.dir, "DIR"), "TIME")
	return digests.ReplaceAllStringFunc(ids.ReplaceAllString(text, "ID"), s.name)
}

// name gives a digest a name as wide as its first twelve digits, in the order of
// their appearance.
func (s *shop) name(digest string) string {
	short := digest[:12]
	if s.names[short] == "" {
		s.names[short] = fmt.Sprintf("digest-%05d", len(s.names)+1)
	}
	return s.names[short]
}

func (s *shop) tail() string { return s.log.lines("") }

// session is one SMTP client.
type session struct{ c *textproto.Conn }

func (s *shop) connect(t *testing.T, name string) error {
	conn, err := net.Dial("tcp", s.addr)
	if err != nil {
		return err
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(3 * patience)); err != nil {
		return err
	}
	c := &session{textproto.NewConn(conn)}
	if _, _, err := c.c.ReadResponse(220); err != nil {
		return err
	}
	s.sessions[name] = c
	return c.ask("EHLO "+name+".test", 250)
}

// ask sends a line and reads the reply to it.
func (c *session) ask(line string, code int) error {
	if err := c.c.PrintfLine("%s", line); err != nil {
		return err
	}
	_, _, err := c.c.ReadResponse(code)
	return err
}

// mail begins a transaction. It returns the reply when that is a refusal.
func (s *shop) mail(name, from string) (string, error) {
	c := s.sessions[name]
	if c == nil {
		return "", fmt.Errorf("no session %s", name)
	}
	for _, line := range []string{"MAIL FROM:<" + from + ">", "RCPT TO:<b@far.test>"} {
		if err := c.ask(line, 250); err != nil {
			return refusal(err, c)
		}
	}
	return "", nil
}

// refusal is the reply in err; the session goes on.
func refusal(err error, c *session) (string, error) {
	var reply *textproto.Error
	if !errors.As(err, &reply) || reply.Code == 421 {
		return "", err
	}
	return fmt.Sprintf("%d %s\n", reply.Code, reply.Msg), c.ask("RSET", 250)
}

// data ends it and returns the reply.
func (s *shop) data(name, subject string) (string, error) {
	c := s.sessions[name]
	if err := c.ask("DATA", 354); err != nil {
		return "", err
	}
	err := c.ask("From: Anna <anna@here.test>\r\nSubject: "+subject+"\r\n\r\nNobody else may read this.\r\n.", 250)
	if err != nil {
		return refusal(err, c)
	}
	s.taken++
	return "250\n", nil
}

// output is what the program prints.
type output struct {
	mu     sync.Mutex
	cond   *sync.Cond
	b      bytes.Buffer
	marked int
}

func newOutput() *output {
	o := &output{}
	o.cond = sync.NewCond(&o.mu)
	return o
}

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	defer o.cond.Broadcast()
	return o.b.Write(p)
}

// mark lets await and lines begin here.
func (o *output) mark() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.marked = o.b.Len()
}

// await waits for a whole line with one of the texts.
func (o *output) await(texts ...string) (string, error) {
	late := time.AfterFunc(patience, o.cond.Broadcast)
	defer late.Stop()
	until := time.Now().Add(patience)
	o.mu.Lock()
	defer o.mu.Unlock()
	for {
		whole := o.b.Bytes()[o.marked : bytes.LastIndexByte(o.b.Bytes(), '\n')+1]
		for line := range strings.Lines(string(whole)) {
			if slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(line, text) }) {
				return strings.TrimRight(line, "\n"), nil
			}
		}
		if time.Now().After(until) {
			return "", fmt.Errorf("the relay does not say %q: %s", texts, o.b.Bytes()[o.marked:])
		}
		o.cond.Wait()
	}
}

// lines returns what was printed since the mark and has the text.
func (o *output) lines(text string) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var b strings.Builder
	for line := range strings.Lines(string(o.b.Bytes()[o.marked:])) {
		if strings.Contains(line, text) {
			b.WriteString(line)
		}
	}
	return b.String()
}

func sorted(m map[string]int) []string { return slices.Sorted(maps.Keys(m)) }
