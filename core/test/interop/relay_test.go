// SPDX-License-Identifier: Apache-2.0

//go:build interop

package interop

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// relay is a running postroad.
type relay struct {
	t    *testing.T
	cmd  *exec.Cmd
	addr string // where its listener is
	data string // its data folder
	log  string // file of its log
}

// startRelay runs postroad with a configuration and settings in the form NAME=value until the test ends. Then SIGTERM
// must end it with status 0.
func startRelay(t *testing.T, config string, env ...string) *relay {
	t.Helper()
	dir := t.TempDir()
	r := &relay{t: t, data: filepath.Join(dir, "data"), log: filepath.Join(dir, "log")}
	log, err := os.Create(r.log)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	r.cmd = exec.Command(os.Getenv(binaryVar), "run", "-c", config)
	r.cmd.Env = append(os.Environ(), "POSTROAD_LISTEN=127.0.0.1:0", "POSTROAD_ADMIN=127.0.0.1:0", "POSTROAD_HOSTNAME=relay.test", "POSTROAD_DATA="+r.data)
	r.cmd.Env = append(r.cmd.Env, env...)
	r.cmd.Stderr = log
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.end)
	r.announced(out)
	return r
}

var listensOn = regexp.MustCompile(`listens on (\S+)$`)

// announced reads what the relay prints until it says where it listens.
func (r *relay) announced(out io.Reader) {
	r.t.Helper()
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if m := listensOn.FindStringSubmatch(lines.Text()); m != nil {
			r.addr = m[1]
			go io.Copy(io.Discard, out) // ends with the process
			return
		}
	}
	r.t.Fatalf("the relay did not start:\n%s", r.logged())
}

// end stops the relay; a second call does nothing.
func (r *relay) end() {
	if r.cmd.ProcessState != nil {
		return
	}
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		r.t.Error(err)
	}
	stuck := time.AfterFunc(patience, func() { r.cmd.Process.Kill() }) // Wait tells
	defer stuck.Stop()
	if err := r.cmd.Wait(); err != nil {
		r.t.Errorf("the relay ended with %v", err)
	}
	if r.t.Failed() {
		r.t.Logf("log of the relay:\n%s", tail(r.logged()))
	}
}

func (r *relay) logged() string {
	b, err := os.ReadFile(r.log)
	if err != nil {
		r.t.Error(err)
	}
	return string(b)
}

// accepted counts the messages that the log says were accepted, and those of them that passed exactly these stages.
func (r *relay) accepted(stages string) (all, staged int) {
	r.t.Helper()
	code := regexp.MustCompile(`@[0-9a-f]{12}\b`)
	for line := range strings.Lines(r.logged()) {
		if strings.Contains(line, ": accepted: ") {
			all++
			if strings.Contains(code.ReplaceAllString(line, ""), fmt.Sprintf(" stages=%q ", stages)) {
				staged++
			}
		}
	}
	return all, staged
}

// memory returns a figure of /proc/PID/status, in octets.
func (r *relay) memory(field string) int64 {
	r.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", r.cmd.Process.Pid))
	if err != nil {
		r.t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, field+":"); ok {
			kb, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			if err != nil {
				r.t.Fatal(err)
			}
			return kb << 10
		}
	}
	r.t.Fatalf("no %s in\n%s", field, b)
	return 0
}

// forgetPeak makes VmHWM begin again at what is resident now (proc(5), clear_refs).
func (r *relay) forgetPeak() {
	r.t.Helper()
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", r.cmd.Process.Pid), []byte("5"), 0); err != nil {
		r.t.Fatal(err)
	}
}

// mailbox returns the files of a Maildir below the relay's data folder.
func (r *relay) mailbox(local, domain string) []string {
	r.t.Helper()
	files, err := filepath.Glob(filepath.Join(r.data, "mail", domain, local, "new", "*"))
	if err != nil {
		r.t.Fatal(err)
	}
	return files
}
