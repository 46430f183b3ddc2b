// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/textproto"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postroad-mail/postroad/core/internal/config"
)

// listensAt is a configuration with one listener at some addresses, which are HCL.
func listensAt(kind, address, more string) []byte {
	return fmt.Appendf(nil, `
admin { address = "" }
listener %q "in" {
  address = %s
  %s
}
routing {
  rule { route = route.nowhere }
}
route "nowhere" {
  discard {}
}
`, kind, address, more)
}

// running opens a relay and runs it until the test ends.
func running(t *testing.T, o Options) *Relay {
	t.Helper()
	o.ConfigFile, o.InMemory, o.DataDir, o.LogOutput = "test.hcl", true, t.TempDir(), t.Output()
	r, err := Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return r
}

// greeting is the first line of whoever listens there.
func greeting(network, address string) (string, error) {
	c, err := net.DialTimeout(network, address, time.Minute)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return "", err
	}
	return textproto.NewConn(c).ReadLine()
}

func wantGreeting(t *testing.T, network, address string) {
	t.Helper()
	if line, err := greeting(network, address); err != nil || !strings.HasPrefix(line, "220 ") {
		t.Errorf("%s %s: %q, %v", network, address, line, err)
	}
}

// port is the port of the socket that an address of the configuration became.
func (r *Relay) port(t *testing.T, at string) string {
	t.Helper()
	for _, s := range r.doors["in"].sockets {
		if s.at == at {
			_, port, _ := net.SplitHostPort(s.Addr().String())
			return port
		}
	}
	t.Fatalf("no socket at %s", at)
	return ""
}

// What is written is what is listened to: "0.0.0.0" is IPv4 alone, "[::]" IPv6
// alone, and no host is both. So both can be in one list with one port.
func TestAnAddressIsOfOneFamily(t *testing.T) {
	r := running(t, Options{Config: listensAt("smtp", `["0.0.0.0:0", "[::]:0", ":0"]`, "")})
	for _, c := range []struct {
		at         string
		four, six  bool
		shownStart string
	}{
		{"0.0.0.0:0", true, false, "127.0.0.1:"},
		{"[::]:0", false, true, "[::1]:"},
		{":0", true, true, "127.0.0.1:"},
	} {
		port := r.port(t, c.at)
		_, err4 := greeting("tcp", "127.0.0.1:"+port)
		_, err6 := greeting("tcp", "[::1]:"+port)
		if (err4 == nil) != c.four || (err6 == nil) != c.six {
			t.Errorf("%s: by IPv4 %v, by IPv6 %v", c.at, err4, err6)
		}
		i := slices.IndexFunc(r.doors["in"].sockets, func(s *socket) bool { return s.at == c.at })
		if shown := r.Info().Listeners[i].Address; shown != c.shownStart+port {
			t.Errorf("%s is shown as %s", c.at, shown)
		}
	}
}

// A list has its sockets; a reload keeps those that stay, opens the new ones and
// closes the others.
func TestAReloadChangesAListOfAddresses(t *testing.T) {
	dir := t.TempDir()
	list := func(names ...string) string {
		for i, n := range names {
			names[i] = fmt.Sprintf("%q", "unix:"+filepath.Join(dir, n))
		}
		return "[" + strings.Join(names, ", ") + "]"
	}
	r := running(t, Options{Config: listensAt("smtp", list("a", "b"), "")})
	kept := r.doors["in"].sockets[1]
	r.o.Config = listensAt("smtp", list("c", "b"), "")
	if err := r.Reload(context.Background()); err != nil {
		t.Fatal(err)
	}
	if s := r.doors["in"].sockets; len(s) != 2 || s[1] != kept {
		t.Errorf("the socket that stays was not kept: %v", s)
	}
	wantGreeting(t, "unix", filepath.Join(dir, "b"))
	wantGreeting(t, "unix", filepath.Join(dir, "c"))
	if _, err := os.Lstat(filepath.Join(dir, "a")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file of the socket that went: %v", err)
	}
}

// When one address of a list cannot be bound, the reload is refused, what it had
// opened is closed, and the old listener goes on.
func TestAReloadThatCannotBindChangesNothing(t *testing.T) {
	dir := t.TempDir()
	at := func(n string) string { return "unix:" + filepath.Join(dir, n) }
	r := running(t, Options{Config: listensAt("smtp", fmt.Sprintf("%q", at("a")), "")})
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.o.Config = listensAt("smtp", fmt.Sprintf("[%q, %q, %q]", at("a"), at("new"), at("file")), "")
	err := r.Reload(context.Background())
	if err == nil || !strings.Contains(err.Error(), "is no socket") || !strings.Contains(err.Error(), "test.hcl:") {
		t.Errorf("reload: %v", err)
	}
	if _, err := os.Lstat(filepath.Join(dir, "new")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a socket of the refused reload is left: %v", err)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "file")); err != nil || string(b) != "x" {
		t.Errorf("the file is %q, %v", b, err)
	}
	wantGreeting(t, "unix", filepath.Join(dir, "a"))
}

// From one address to all addresses of the same port there is no way but a restart,
// and the refusal says so.
func TestAReloadToAnAddressThatHoldsTheOldOne(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(free.Addr().String())
	free.Close()
	r := running(t, Options{Config: listensAt("smtp", fmt.Sprintf("%q", "127.0.0.1:"+port), "")})
	r.o.Config = listensAt("smtp", fmt.Sprintf("%q", "0.0.0.0:"+port), "")
	if err := r.Reload(context.Background()); err == nil || !strings.Contains(err.Error(), "this relay listens on 127.0.0.1:"+port) {
		t.Errorf("reload: %v", err)
	}
	wantGreeting(t, "tcp", "127.0.0.1:"+port)
}

// The file of a socket has the rights that the listener says, also after a reload
// that changes them, and goes with the relay.
func TestRightsOfASocketFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	at := fmt.Sprintf("%q", "unix:"+path)
	o := Options{Config: listensAt("lmtp", at, "socket_group = "+fmt.Sprintf("%q", me.Gid)), ConfigFile: "test.hcl", InMemory: true, DataDir: t.TempDir(), LogOutput: t.Output()}
	r, err := Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	for _, mode := range []fs.FileMode{0o660, 0o600, 0o666} {
		r.o.Config = listensAt("lmtp", at, fmt.Sprintf("socket_mode = \"%04o\"", mode))
		if err := r.Reload(context.Background()); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Lstat(path); err != nil || info.Mode() != fs.ModeSocket|mode {
			t.Errorf("mode %v, %v, want %v", info.Mode(), err, mode)
		}
	}
	r.o.Config = listensAt("lmtp", at, `socket_group = "no-such-group"`)
	if err := r.Reload(context.Background()); err == nil || !strings.Contains(err.Error(), "no-such-group") {
		t.Errorf("a group that is not there: %v", err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file is left: %v", err)
	}
}

// A socket file that a killed process left is no reason not to start; one on which
// somebody answers is.
func TestAStaleSocketFileIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	old, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	old.SetUnlinkOnClose(false)
	if _, err := listenUnix(path, "here"); err == nil || !strings.Contains(err.Error(), "in use by another program") {
		t.Errorf("a socket in use was taken: %v", err)
	}
	old.Close()
	l, err := listenUnix(path, "here")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}

// Sockets that the process was started with are listened on by their name, and a
// reload that leaves them can come back to them.
func TestInheritedSockets(t *testing.T) {
	var files []*os.File
	var addresses []string
	for range 2 {
		l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		f, err := l.File()
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
		defer f.Close()
		files, addresses = append(files, f), append(addresses, l.Addr().String())
	}
	r := running(t, Options{Config: listensAt("smtp", `"systemd:mail"`, ""), Sockets: map[string][]*os.File{"mail": files}})
	away := listensAt("smtp", `"127.0.0.1:0"`, "")
	for _, c := range [][]byte{r.o.Config, away, listensAt("smtp", `["127.0.0.1:0", "systemd:mail"]`, "")} {
		r.o.Config = c
		if err := r.Reload(context.Background()); err != nil {
			t.Fatal(err)
		}
		if string(c) == string(away) {
			continue
		}
		for _, a := range addresses {
			wantGreeting(t, "tcp", a)
		}
	}
}

// What cannot be listened on is an error that says why.
func TestInheritedSocketsThatAreNone(t *testing.T) {
	udp, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	datagrams, err := udp.File()
	if err != nil {
		t.Fatal(err)
	}
	defer datagrams.Close()
	c := &config.Listener{Name: "in"}
	for name, want := range map[string]string{"absent": "no socket named", "udp": "not one to listen on", "conn": "Accept=no"} {
		files := map[string][]*os.File{"udp": {datagrams}, "conn": {connection(t)}}
		_, err := (&Relay{o: Options{Sockets: files}}).inherited(c, "systemd:"+name, name)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// connection is a socket that does not listen, as a .socket unit with Accept=yes
// hands it over.
func connection(t *testing.T) *os.File {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	f, err := c.(*net.TCPConn).File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// A submission listener takes mail from who has logged in, and from networks in
// relay_from; it shows everybody the list that goes with that.
func TestSubmissionWantsALogin(t *testing.T) {
	talk := func(more string) string {
		r := running(t, Options{Config: listensAt("submission", `"127.0.0.1:0"`, more)})
		c, err := net.DialTimeout("tcp", r.Addr("in").String(), time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := io.WriteString(c, "EHLO c.test\r\nMAIL FROM:<a@x.test> RET=HDRS\r\nQUIT\r\n"); err != nil {
			t.Fatal(err)
		}
		all, err := io.ReadAll(c)
		if err != nil {
			t.Fatal(err)
		}
		return string(all)
	}
	if got := talk(""); !strings.Contains(got, "\r\n530 5.7.0 ") || !strings.Contains(got, "250-DSN\r\n") {
		t.Errorf("a stranger: %s", got)
	}
	if got := talk(`relay_from = ["127.0.0.0/8"]`); !strings.Contains(got, "\r\n250 2.1.0 ") {
		t.Errorf("a client in relay_from: %s", got)
	}
}
