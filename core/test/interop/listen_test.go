// SPDX-License-Identifier: Apache-2.0

//go:build interop

package interop

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/postroad-mail/postroad/core/internal/testkit"
)

// doors is a relay with listeners of all kinds, in front of a sink.
type doors struct {
	relay                 *relay
	sink                  *testkit.Sink
	proxied, lmtp, atPath string
}

func openDoors(t *testing.T, dir string) doors {
	t.Helper()
	d := doors{sink: testkit.NewSink(t, testkit.SinkOptions{}), proxied: testkit.FreeAddr(t), lmtp: testkit.FreeAddr(t), atPath: filepath.Join(dir, "lmtp.sock")}
	d.relay = startRelay(t, "testdata/listen.hcl", "POSTROAD_SINK="+d.sink.Addr().String(), "POSTROAD_PROXIED="+d.proxied, "POSTROAD_LMTP="+d.lmtp, "POSTROAD_SOCKET=unix:"+d.atPath)
	return d
}

// came waits for the message to one recipient, and returns our Received field of it.
func (d doors) came(t *testing.T, rcpt string, content []byte) string {
	t.Helper()
	var field string
	eventually(t, rcpt, func() error {
		for _, m := range d.sink.Messages() {
			if m.To[0] != "<"+rcpt+">" {
				continue
			}
			got := lf(m.Content)
			field = string(received.Find(got))
			if rest := got[len(field):]; !bytes.HasSuffix(rest, lf(content)) {
				return fmt.Errorf("the message came as %.300q", rest)
			}
			return nil
		}
		return errors.New("it has not come")
	})
	return strings.Join(strings.Fields(field), " ")
}

func wantTrace(t *testing.T, field, pattern string) {
	t.Helper()
	if !regexp.MustCompile(`^Received: ` + pattern).MatchString(field) {
		t.Errorf("%s\nwant %s", field, pattern)
	}
}

// TestLMTPClients hands mail in by LMTP, over TCP and over a socket in the file system: by swaks, Python's smtplib.LMTP
// and Postfix.
func TestLMTPClients(t *testing.T) {
	cert := testkit.NewCert(t, "postfix.test")
	at := testkit.FreeAddr(t)
	p := startPostfix(t, at, at, at, cert)
	d := openDoors(t, p.dir)
	content := []byte(head + "\r\n.dot\r\nlast line\r\n")
	file := write(t, filepath.Join(t.TempDir(), "m"), content)
	dotted := write(t, filepath.Join(t.TempDir(), "m"), append(stuffed(content), '.'))
	swaks := []string{"--protocol", "LMTP", "--helo", "client.test", "--from", sender, "--data", "@" + dotted, "--no-data-fixup", "--suppress-data"}
	for name, cmd := range map[string][]string{
		"swaks-tcp":   append([]string{"swaks", "--server", d.lmtp, "--to", "swaks-tcp@lmtp.test"}, swaks...),
		"swaks-unix":  append([]string{"swaks", "--socket", d.atPath, "--to", "swaks-unix@lmtp.test"}, swaks...),
		"python-tcp":  {"python3", "testdata/lmtp_send.py", d.lmtp, file, sender, "python-tcp@lmtp.test"},
		"python-unix": {"python3", "testdata/lmtp_send.py", d.atPath, file, sender, "python-unix@lmtp.test"},
		"postfix":     {"smtp-source", "-M", "client.test", "-f", sender, "-t", "postfix@lmtp.test", "-F", write(t, filepath.Join(t.TempDir(), "m"), lf(content)), p.addr},
	} {
		t.Run(name, func(t *testing.T) {
			if out, err := output(t, cmd[0], cmd[1:]...); err != nil {
				t.Fatalf("%v\n%s", err, tail(out))
			}
			want, body := `from client\.test \(\[127\.0\.0\.1\]\) by relay\.test with LMTP id `, content
			if name == "postfix" {
				want, body = `from postfix\.test \(\[127\.0\.0\.1\]\) by relay\.test with LMTP id `, append(bytes.Clone(content), "\r\n"...) // smtp-source adds one
			}
			wantTrace(t, d.came(t, name+"@lmtp.test", body), want)
		})
	}
}

// TestASocketIsForItsGroup connects as another user of the machine: in the group of the socket, and in none.
func TestASocketIsForItsGroup(t *testing.T) {
	dir := folder(t)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	d := openDoors(t, dir)
	for name, may := range map[string]bool{"postfix": true, "nobody": false} {
		u, err := user.Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("/usr/bin/python3", "-c", "import socket, sys\ns = socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\nprint(s.recv(100))", d.atPath)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
		out, err := outputOf(t, cmd)
		if (err == nil) != may || may && !strings.Contains(out, "220 relay.test LMTP") || !may && !strings.Contains(out, "PermissionError") {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

// TestSwaksSaysXCLIENT sends as another client by XCLIENT from 127.0.0.1, which may, and from 127.0.0.2, which may not.
func TestSwaksSaysXCLIENT(t *testing.T) {
	d := openDoors(t, t.TempDir())
	send := func(from, to string, more ...string) (string, error) {
		return output(t, "swaks", append([]string{"--server", d.relay.addr, "--local-interface", from, "--helo", "client.test", "--from", sender, "--to", to, "--body", "hello"}, more...)...)
	}
	if out, err := send("127.0.0.1", "one@xclient.test", "--xclient-addr", "203.0.113.9", "--xclient-name", "spike.example", "--xclient-port", "4711", "--xclient-helo", "spike", "--xclient-proto", "ESMTP"); err != nil {
		t.Fatalf("%v\n%s", err, tail(out))
	}
	wantTrace(t, d.came(t, "one@xclient.test", nil), `from client\.test \(spike\.example \[203\.0\.113\.9\]\) by relay\.test with ESMTP id `)
	if out, err := send("127.0.0.1", "two@xclient.test", "--xclient-addr", "IPV6:2001:db8::1"); err == nil || !strings.Contains(out, "554 5.7.1") {
		t.Errorf("a client that may not relay: %v\n%s", err, tail(out))
	}
	out, err := send("127.0.0.2", "three@xclient.test", "--xclient-addr", "203.0.113.9")
	if err == nil || strings.Contains(out, "250 XCLIENT") || strings.Contains(out, "250-XCLIENT") {
		t.Errorf("a stranger was offered XCLIENT: %v\n%s", err, tail(out))
	}
	out, err = send("127.0.0.2", "four@xclient.test", "--xclient", "ADDR=203.0.113.9", "--xclient-no-verify")
	if err == nil {
		t.Errorf("a stranger's XCLIENT was taken: %s", tail(out))
	}
}

// TestSwaksSaysPROXY sends a header of each version.
func TestSwaksSaysPROXY(t *testing.T) {
	d := openDoors(t, t.TempDir())
	for _, version := range []string{"1", "2"} {
		for family, source := range map[string]string{"4": "203.0.113.9", "6": "2001:db8::9"} {
			name, proxy := "v"+version+"-"+family, []string{"--proxy-version", version, "--proxy-source", source, "--proxy-dest", source, "--proxy-source-port", "4711", "--proxy-dest-port", "25"}
			kind := map[string]string{"14": "TCP4", "16": "TCP6", "24": "AF_INET", "26": "AF_INET6"}[version+family]
			proxy = append(proxy, "--proxy-family", kind)
			if version == "2" {
				proxy = append(proxy, "--proxy-protocol", "STREAM", "--proxy-command", "PROXY")
			}
			to := name + "@proxy.test"
			out, err := output(t, "swaks", append([]string{"--server", d.proxied, "--helo", "client.test", "--from", sender, "--to", to, "--body", "hello"}, proxy...)...)
			if err != nil {
				t.Errorf("%s: %v\n%s", name, err, tail(out))
				continue
			}
			wantTrace(t, d.came(t, to, nil), `from client\.test \(\[(IPv6:)?`+regexp.QuoteMeta(source)+`\]\) by relay\.test `)
		}
	}
}

// TestHAProxy puts HAProxy in front, with the configuration of core/docs/operate.md: in both versions of the protocol, with
// a checksum, and for a client of each family. Its health checks are no clients.
func TestHAProxy(t *testing.T) {
	d := openDoors(t, t.TempDir())
	page, err := os.ReadFile("../../docs/operate.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?s)```haproxy\n(.*?)```").FindSubmatch(page)
	if m == nil {
		t.Fatal("operate.md shows no HAProxy")
	}
	for version, options := range map[string]string{"v2": "send-proxy-v2", "v1": "send-proxy", "sum": "send-proxy-v2 proxy-v2-options crc32c,unique-id"} {
		for family, c := range map[string]struct {
			bind, trace string
			send        func(t *testing.T, server, to string) (string, error)
		}{
			"4": {"127.0.0.1", `\[127\.0\.0\.2\]`, func(t *testing.T, server, to string) (string, error) {
				return output(t, "swaks", "--server", server, "--local-interface", "127.0.0.2", "--helo", "client.test", "--from", sender, "--to", to, "--body", "hello")
			}},
			"6": {"::1", `\[IPv6:::1\]`, func(t *testing.T, server, to string) (string, error) {
				return smtplib(t, "::1:"+port(t, server), []byte(head+"\r\nhello\r\n"), to)
			}},
		} {
			front := net.JoinHostPort(c.bind, port(t, testkit.FreeAddr(t)))
			startHAProxy(t, front, strings.NewReplacer("192.0.2.1:25", front, "10.0.0.2:25", d.proxied+" source 127.0.0.1", "send-proxy-v2", options).Replace(string(m[1])))
			to := version + "-" + family + "@haproxy.test"
			out, err := c.send(t, front, to)
			if err != nil {
				t.Errorf("%s: %v\n%s", to, err, tail(out))
				continue
			}
			wantTrace(t, d.came(t, to, nil), `from client\.test \(`+c.trace+`\) by relay\.test with ESMTP id `)
		}
	}
	if log := d.relay.logged(); !strings.Contains(log, "via=127.0.0.1:") || strings.Contains(log, "PROXY header is expected") {
		t.Errorf("the log: %s", tail(log))
	}
}

func startHAProxy(t *testing.T, front, config string) {
	t.Helper()
	file := write(t, filepath.Join(t.TempDir(), "haproxy.cfg"), []byte(config))
	cmd := exec.Command(program(t, "haproxy"), "-db", "-f", file)
	cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill() // Wait tells
		cmd.Wait()         // it was killed
	})
	listening(t, front)
}

// TestSocketActivation has systemd's own program open the socket and start postroad at the first connection.
func TestSocketActivation(t *testing.T) {
	dir := t.TempDir()
	config := write(t, filepath.Join(dir, "pipeline.hcl"), []byte(`
server {
  hostname = "relay.test"
  data_dir = "data"
}
admin { address = "" }
listener "smtp" "in" { address = "systemd:smtp" }
routing {
  rule { route = route.nowhere }
}
route "nowhere" {
  discard {}
}
`))
	at := testkit.FreeAddr(t)
	cmd := exec.Command(program(t, "systemd-socket-activate"), "--listen="+at, "--fdname=smtp", os.Getenv(binaryVar), "run", "-c", config)
	cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM) // Wait tells
		if err := cmd.Wait(); err != nil {
			t.Errorf("it ended with %v", err)
		}
	})
	listening(t, at)
	s, err := newSpeaker(at)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.say(221, "QUIT")
	if s.err != nil {
		t.Error(s.err)
	}
}
