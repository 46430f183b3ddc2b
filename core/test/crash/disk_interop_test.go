// SPDX-License-Identifier: Apache-2.0

//go:build interop

package crash

import (
	"errors"
	"net"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/postroad-mail/postroad/core/internal/testkit"
)

// smallDisk mounts a tmpfs of some octets where a program keeps its data. It
// needs root, as the other tests with this tag do.
func smallDisk(t *testing.T, p *program, size string) {
	t.Helper()
	if err := os.MkdirAll(p.data, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "mode=0700,size="+size, "tmpfs", p.data).CombinedOutput(); err != nil {
		t.Fatalf("mount: %v\n%s", err, out)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(p.data, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

// client is one SMTP session.
func client(t *testing.T, addr string) *textproto.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	c := textproto.NewConn(conn)
	if _, _, err := c.ReadResponse(220); err != nil {
		t.Fatal(err)
	}
	if err := ask(c, "EHLO client.test", 250); err != nil {
		t.Fatal(err)
	}
	return c
}

// noteNothing is for loads that nobody waits for.
func noteNothing(int, time.Time) {}

// fill sends messages until the relay refuses one, and returns the reply.
func fill(t *testing.T, l *ledger, addr string) string {
	o := &load{addr: addr, l: l, acked: noteNothing}
	c := client(t, addr)
	for {
		if err := o.message(c); err != nil {
			return err.Error()
		}
	}
}

// TestAFullDiskRefusesAndRecovers fills a small disk with mail, and then with
// something else to the last octet. The relay refuses new mail for now, keeps
// running, and takes mail again when there is room; all that it acknowledged
// arrives.
func TestAFullDiskRefusesAndRecovers(t *testing.T) {
	c := newCampaign(t, build(t))
	smallDisk(t, c.p, "100m")
	c.l.begin()
	hop := testkit.NewSink(t, testkit.SinkOptions{Script: stall(0)})
	r := c.p.start(t, hop.Addr().String())
	if refusal := fill(t, c.l, r.addr); !strings.Contains(refusal, "452") {
		t.Fatalf("on a full disk the client gets %s\n%s", refusal, c.p.tail())
	}
	stranger := filepath.Join(c.p.data, "stranger")
	crammed := cram(t, stranger)
	if refusal := fill(t, c.l, r.addr); !strings.Contains(refusal, "452") {
		t.Errorf("with %d octets of something else the client gets %s", crammed, refusal)
	}
	hop.Close()
	r.stop(t)
	if err := os.Remove(stranger); err != nil {
		t.Fatal(err)
	}
	if lost := c.drainBut(t, nil); len(lost) > 0 {
		t.Errorf("lost: %v", lost)
	}
	t.Logf("%+v", c.l.totals())
}

// cram writes a file until the disk is full, and returns its size.
func cram(t *testing.T, path string) (n int) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for chunk := make([]byte, 64<<10); err == nil; {
		var w int
		w, err = f.Write(chunk)
		n += w
	}
	return n
}

// TestAReadOnlyDisk: the disk of a running relay becomes read-only. The relay
// ends with exit code 74 and a sentence, a start before the disk is writable
// does too, and then everything arrives.
func TestAReadOnlyDisk(t *testing.T) {
	c := newCampaign(t, build(t))
	smallDisk(t, c.p, "200m")
	c.l.begin()
	hop := testkit.NewSink(t, testkit.SinkOptions{Script: stall(0)})
	r := c.p.start(t, hop.Addr().String())
	o := &load{addr: r.addr, l: c.l, acked: noteNothing}
	conn := client(t, r.addr)
	for range 20 {
		if err := o.message(conn); err != nil {
			t.Fatal(err)
		}
	}
	r.strike() // open files would keep the disk writable
	<-r.exited
	hop.Close()
	remount(t, c.p.data, syscall.MS_RDONLY)
	out, err := c.p.command(t.Context(), "127.0.0.1:25", "run").CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 74 || !strings.Contains(string(out), "is not writable: make it so") {
		t.Errorf("on a read-only disk: %v\n%s", err, out)
	}
	remount(t, c.p.data, 0)
	if lost := c.drainBut(t, nil); len(lost) > 0 {
		t.Errorf("lost: %v", lost)
	}
}

func remount(t *testing.T, dir string, flags uintptr) {
	t.Helper()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT|flags, ""); err != nil {
		t.Fatal(err)
	}
}
