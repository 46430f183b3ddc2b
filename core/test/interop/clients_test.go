// SPDX-License-Identifier: Apache-2.0

//go:build interop

package interop

import (
	"bytes"
	"fmt"
	"net"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// nodemailerVersion is the version of the npm package.
const nodemailerVersion = "10.6.0"

const sender = "sender@here.test"

// client sends a message to some recipients and returns what it printed, and an error when it was told no.
type client struct {
	name string
	adds string // what it puts behind every message
	send func(t *testing.T, server string, content []byte, to ...string) (string, error)
}

// clients are all of them.
func clients(t *testing.T) []client {
	t.Helper()
	return []client{
		{"swaks", "", swaks},
		{"smtp-source", "\r\n", smtpSource},
		{"smtplib", "", smtplib},
		{"nodemailer", "", nodemailer(installNodemailer(t))},
		{"postroad-send", "", postroadSend},
		{"bdat", "", bdat},
	}
}

// swaks gets the octets of DATA, for it would change some of them: it takes a line with one dot at the end for the end,
// and puts an empty line behind a header. It adds the last line end.
func swaks(t *testing.T, server string, content []byte, to ...string) (string, error) {
	t.Helper()
	file := write(t, filepath.Join(t.TempDir(), "m"), append(stuffed(content), '.'))
	return output(t, "swaks", "--server", server, "--helo", "client.test", "--from", sender, "--to", strings.Join(to, ","),
		"--data", "@"+file, "--no-data-fixup", "--suppress-data")
}

// stuffed doubles dots at the start of lines (RFC 5321 §4.5.2).
func stuffed(content []byte) []byte {
	return bytes.ReplaceAll(append([]byte("\n"), content...), []byte("\n."), []byte("\n.."))[1:]
}

// smtpSource knows one recipient at a time. It wants a file with LF line ends, and puts an empty line behind it.
func smtpSource(t *testing.T, server string, content []byte, to ...string) (string, error) {
	t.Helper()
	file := write(t, filepath.Join(t.TempDir(), "m"), lf(content))
	var all string
	for _, r := range to {
		out, err := output(t, "smtp-source", "-M", "client.test", "-f", sender, "-t", r, "-F", file, "-m", "1", server)
		if all += out; err != nil {
			return all, err
		}
	}
	return all, nil
}

func smtplib(t *testing.T, server string, content []byte, to ...string) (string, error) {
	t.Helper()
	file := write(t, filepath.Join(t.TempDir(), "m"), content)
	return output(t, "python3", append([]string{"testdata/smtplib_send.py", "send", server, file, sender}, to...)...)
}

// installNodemailer installs the npm package into a folder of the test and returns it.
func installNodemailer(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.Command(program(t, "npm"), "install", "--no-audit", "--no-fund", "--no-save", "--no-package-lock", "nodemailer@"+nodemailerVersion)
	cmd.Dir = dir
	if out, err := outputOf(t, cmd); err != nil {
		t.Fatalf("npm: %v\n%s", err, out)
	}
	return dir
}

func nodemailer(dir string) func(t *testing.T, server string, content []byte, to ...string) (string, error) {
	return func(t *testing.T, server string, content []byte, to ...string) (string, error) {
		t.Helper()
		file := write(t, filepath.Join(t.TempDir(), "m"), content)
		return outputOf(t, node(t, dir, append([]string{"send", server, file, sender}, to...)...))
	}
}

// node is a run of the nodemailer client.
func node(t *testing.T, dir string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(program(t, "node"), append([]string{"testdata/nodemailer_send.js"}, args...)...)
	cmd.Env = append(os.Environ(), "NODE_PATH="+filepath.Join(dir, "node_modules"))
	return cmd
}

// postroadSend is the sender that Postroad brings along.
func postroadSend(t *testing.T, server string, content []byte, to ...string) (string, error) {
	t.Helper()
	file := write(t, filepath.Join(t.TempDir(), "m"), content)
	args := []string{"send", "--server", server, "--from", sender, "--file", file}
	for _, r := range to {
		args = append(args, "--to", r)
	}
	return outputOf(t, exec.Command(os.Getenv(binaryVar), args...))
}

// bdat sends by BDAT (RFC 3030) in chunks that cut lines, line ends and dots anywhere. No program at hand does.
func bdat(t *testing.T, server string, content []byte, to ...string) (string, error) {
	t.Helper()
	c, err := newSpeaker(server)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.say(250, "MAIL FROM:<%s> BODY=8BITMIME SIZE=%d", sender, len(content))
	for _, r := range to {
		c.say(250, "RCPT TO:<%s>", r)
	}
	for size := 1; len(content) > 0; size = size*3 + 1 {
		n := min(size, len(content), 1<<20)
		c.chunk(content[:n], "")
		content = content[n:]
	}
	c.chunk(nil, " LAST")
	c.say(221, "QUIT")
	return c.last, c.err
}

// speaker speaks SMTP until it hears what it did not expect.
type speaker struct {
	*textproto.Conn
	last string // reply
	err  error  // the first one
}

// newSpeaker connects and says EHLO.
func newSpeaker(server string) (*speaker, error) {
	conn, err := net.Dial("tcp", server)
	if err != nil {
		return nil, err
	}
	s := &speaker{Conn: textproto.NewConn(conn)}
	s.hear(220)
	s.say(250, "EHLO client.test")
	return s, s.err
}

func (s *speaker) hear(code int) {
	if s.err != nil {
		return
	}
	got, text, err := s.ReadResponse(code)
	s.last, s.err = fmt.Sprintf("%d %s", got, text), err
}

func (s *speaker) say(code int, format string, args ...any) {
	if s.err == nil {
		s.err = s.PrintfLine(format, args...)
	}
	s.hear(code)
}

func (s *speaker) chunk(octets []byte, last string) {
	if s.err == nil {
		fmt.Fprintf(s.W, "BDAT %d%s\r\n", len(octets), last) // Flush tells
		s.W.Write(octets)                                    // Flush tells
		s.err = s.W.Flush()
	}
	s.hear(250)
}
