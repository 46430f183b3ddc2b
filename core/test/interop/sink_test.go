// SPDX-License-Identifier: Apache-2.0

//go:build interop

package interop

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/postroad-mail/postroad/core/internal/testkit"
)

// sink is a running smtp-sink, which writes each message to a file.
type sink struct {
	t    *testing.T
	addr string
	dir  string
}

func startSink(t *testing.T) *sink {
	t.Helper()
	s := &sink{t: t, addr: testkit.FreeAddr(t), dir: folder(t)}
	args := []string{"-d", filepath.Join(s.dir, "message."), s.addr, "100"}
	if os.Geteuid() == 0 {
		args = append([]string{"-u", "nobody"}, args...)
	}
	cmd := exec.Command(program(t, "smtp-sink"), args...)
	cmd.Stderr = t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill() // Wait tells
		cmd.Wait()         // it was killed
	})
	listening(t, s.addr)
	return s
}

// listening waits until somebody answers at addr.
func listening(t *testing.T, addr string) {
	t.Helper()
	eventually(t, "nobody listens on "+addr, func() error {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			err = c.Close()
		}
		return err
	})
}

// files returns those that hold a message for one recipient.
func (s *sink) files(rcpt string) []string {
	s.t.Helper()
	all, err := filepath.Glob(filepath.Join(s.dir, "message.*"))
	if err != nil {
		s.t.Fatal(err)
	}
	var found []string
	for _, f := range all {
		if bytes.Contains(start(s.t, f), fmt.Appendf(nil, "\nX-Rcpt-Args: <%s>", rcpt)) {
			found = append(found, f)
		}
	}
	return found
}

// start is the first part of a file.
func start(t *testing.T, path string) []byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 4096)
	n, _ := f.Read(b) // an empty file is one that is being written
	return b[:n]
}
