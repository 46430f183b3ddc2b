// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	root   = "../../.." // of the repository
	config = "examples/smarthost.hcl"

	// patience bounds what must happen; nothing is measured with it.
	patience = 2 * time.Minute
)

// program is the real binary and the folder that its lives share.
type program struct {
	binary string
	data   string
	log    string
}

// build makes the binary.
func build(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "postroad")
	cmd := exec.Command("go", "build", "-o", binary, "./core/cmd/postroad")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return binary
}

// newProgram gives a binary a folder of its own.
func newProgram(t *testing.T, binary string) *program {
	dir, err := os.MkdirTemp("", "postroad") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return &program{binary: binary, data: filepath.Join(dir, "data"), log: filepath.Join(dir, "log")}
}

// command is a call of the binary with the settings of the example.
func (p *program) command(ctx context.Context, hop string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, p.binary, append(args, "-c", config)...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "POSTROAD_LISTEN=127.0.0.1:0", "POSTROAD_ADMIN=127.0.0.1:0", "POSTROAD_HOSTNAME=relay.test",
		"POSTROAD_DATA="+p.data, "POSTROAD_SMARTHOST="+hop, "POSTROAD_RETRY=2s")
	return cmd
}

// process is one life of the relay.
type process struct {
	cmd    *exec.Cmd
	addr   string        // of its listener
	exited chan struct{} // closed at its end
	err    error         // how it ended; read after exited
}

// start runs the relay until it says what it listens on. It ends with the test.
func (p *program) start(t *testing.T, hop string) *process {
	t.Helper()
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	r := &process{cmd: p.command(context.Background(), hop, "run"), exited: make(chan struct{})}
	r.cmd.Stderr = log
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	addr := make(chan string, 1)
	go r.follow(out, addr)
	t.Cleanup(r.kill)
	if r.addr = <-addr; r.addr == "" {
		t.Fatalf("the relay ended before it listened: %v\n%s", r.err, p.tail())
	}
	return r
}

var listens = regexp.MustCompile(`smtp "in" listens on (\S+)`)

// follow reads what the relay prints, to the end, and waits for the process.
func (r *process) follow(out io.Reader, addr chan<- string) {
	defer close(addr)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if m := listens.FindStringSubmatch(lines.Text()); m != nil {
			addr <- m[1]
		}
	}
	r.err = r.cmd.Wait()
	close(r.exited)
}

// kill is kill -9; it returns when nothing is left of the process.
func (r *process) kill() {
	r.strike()
	<-r.exited
}

// strike sends SIGKILL and does not wait.
func (r *process) strike() { _ = r.cmd.Process.Kill() }

// killed reports whether SIGKILL, and nothing else, ended the process.
func (r *process) killed() bool {
	<-r.exited
	var e *exec.ExitError
	if !errors.As(r.err, &e) {
		return false
	}
	s, ok := e.Sys().(syscall.WaitStatus)
	return ok && s.Signaled() && s.Signal() == syscall.SIGKILL
}

// stop ends the relay in order.
func (r *process) stop(t *testing.T) {
	t.Helper()
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-r.exited
	if r.err != nil {
		t.Errorf("after SIGTERM the relay ended with %v", r.err)
	}
}

// queue calls `postroad queue` and returns what it prints.
func (p *program) queue(ctx context.Context, t *testing.T, args ...string) string {
	t.Helper()
	out, err := p.command(ctx, "127.0.0.1:25", append([]string{"queue"}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("postroad queue %s: %v\n%s\n%s", strings.Join(args, " "), err, out, p.tail())
	}
	return string(out)
}

// bodies returns the names of the body files that are there.
func (p *program) bodies(t *testing.T) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(p.data, "spool"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names
}

// tail is the end of the log of all lives.
func (p *program) tail() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-4000):])
}

// about returns the log lines that name id.
func (p *program) about(id string) string {
	b, err := os.ReadFile(p.log)
	if err != nil || id == "" {
		return fmt.Sprint("no log: ", err)
	}
	var lines [][]byte
	for _, line := range bytes.Split(b, []byte("\n")) {
		if bytes.Contains(line, []byte(id)) {
			lines = append(lines, line)
		}
	}
	return string(bytes.Join(lines, []byte("\n")))
}
