// SPDX-License-Identifier: Apache-2.0

//go:build unix

package main

import (
	"bytes"
	"fmt"
	"net"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// asSystemd is set in the environment of a test binary that is to become the
// command, as systemd makes one of itself: with its own process id in LISTEN_PID.
const asSystemd = "POSTROAD_TEST_AS_SYSTEMD"

func TestMain(m *testing.M) {
	if binary := os.Getenv(asSystemd); binary != "" {
		env := append(os.Environ(), "LISTEN_PID="+strconv.Itoa(os.Getpid()))
		panic(syscall.Exec(binary, append([]string{"postroad"}, os.Args[1:]...), env)) // it does not return otherwise
	}
	os.Exit(m.Run())
}

// notices are what a service manager is told.
type notices struct {
	t    *testing.T
	conn *net.UnixConn
}

func newNotices(t *testing.T) (*notices, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "n")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &notices{t, c}, path
}

func (n *notices) expect(want string) {
	n.t.Helper()
	b := make([]byte, 4096)
	if err := n.conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		n.t.Fatal(err)
	}
	k, err := n.conn.Read(b)
	if err != nil || !strings.HasPrefix(string(b[:k]), want) {
		n.t.Fatalf("told %q, %v, want %q", b[:k], err, want)
	}
}

// The real command takes the sockets that it was started with, two of one name and a
// unix one, says when it is ready, reloads, and stops; what it was given stays open
// until then.
func TestStartedBySystemd(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "postroad")
	build := exec.Command("go", "build", "-o", binary, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	dir := t.TempDir()
	tcp := []net.Listener{listenOn(t, "tcp", "127.0.0.1:0"), listenOn(t, "tcp6", "[::1]:0")}
	unix := listenOn(t, "unix", filepath.Join(dir, "lmtp"))
	config := writeConfig(t, `
server { data_dir = "data" }
admin { address = "" }
listener "smtp" "in" { address = "systemd:postroad.socket" }
listener "lmtp" "inside" { address = "systemd:lmtp" }
routing {
  rule { route = route.nowhere }
}
route "nowhere" {
  discard {}
}
`)
	told, notifySocket := newNotices(t)
	var out lockedBuffer
	cmd := exec.Command(os.Args[0], "run", "-c", config)
	cmd.Env = append(os.Environ(), asSystemd+"="+binary, "LISTEN_FDS=3", "LISTEN_FDNAMES=postroad.socket:lmtp:postroad.socket", "NOTIFY_SOCKET="+notifySocket)
	cmd.ExtraFiles = []*os.File{fileOf(t, tcp[0]), fileOf(t, unix), fileOf(t, tcp[1])}
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	told.expect("READY=1")
	for range 2 {
		greeted(t, tcp[0], "220 localhost ESMTP")
		greeted(t, tcp[1], "220 localhost ESMTP")
		greeted(t, unix, "220 localhost LMTP")
		if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		told.expect("RELOADING=1\nMONOTONIC_USEC=")
		told.expect("READY=1")
	}
	for _, want := range []string{`smtp "in" listens on ` + tcp[0].Addr().String(), `smtp "in" listens on ` + tcp[1].Addr().String(), `lmtp "inside" listens on unix:` + unix.Addr().String()} {
		if !strings.Contains(out.String(), want+"\n") {
			t.Errorf("it does not say %q:\n%s", want, out.String())
		}
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	told.expect("STOPPING=1")
	if err := <-ended; err != nil {
		t.Errorf("it ended with %v\n%s", err, out.String())
	}
	if _, err := os.Lstat(unix.Addr().String()); err != nil {
		t.Errorf("the file of systemd's socket: %v", err)
	}
}

// lockedBuffer is output that is read while it is written.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func listenOn(t *testing.T, network, address string) net.Listener {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func fileOf(t *testing.T, l net.Listener) *os.File {
	t.Helper()
	f, err := l.(interface{ File() (*os.File, error) }).File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func greeted(t *testing.T, l net.Listener, want string) {
	t.Helper()
	c, err := net.Dial(l.Addr().Network(), l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	line, err := textproto.NewConn(c).ReadLine()
	if err != nil || !strings.HasPrefix(line, want) {
		t.Errorf("%v: %q, %v, want %q", l.Addr(), line, err, want)
	}
}

// What is in the environment for somebody else is nobody's here, and is not handed on.
func TestInheritedSocketsOfAnotherProcess(t *testing.T) {
	t.Setenv("LISTEN_PID", fmt.Sprint(os.Getpid()+1))
	t.Setenv("LISTEN_FDS", "1")
	t.Setenv("LISTEN_FDNAMES", "mail")
	if s := inheritedSockets(); len(s) != 0 {
		t.Errorf("it took %v", s)
	}
	for _, name := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
		if v, ok := os.LookupEnv(name); ok {
			t.Errorf("%s=%s is left", name, v)
		}
	}
}
