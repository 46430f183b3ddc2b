// SPDX-License-Identifier: Apache-2.0

package testkit

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// dialogueTimeout bounds each wait for the peer: a dialogue that hangs fails.
const dialogueTimeout = 20 * time.Second

// Dialogue connects to addr and plays the client's side of an SMTP session that
// file describes, one step per line:
//
//	# remark                    (empty lines too)
//	C: EHLO client.test         send the text and CRLF
//	C| .\r\n\x00                send exactly this, with the escapes of a Go string
//	C* 2000 abc                 send the text 2000 times, without a line end
//	S: 250-sink*                expect one line; "*" stands for anything
//	S+ 250 *                    read one whole reply, expect its last line
//	starttls                    do a TLS handshake now, without checking the certificate
//	close                       expect the server to close the connection
//	hangup                      close our side for writing
//
// The first step that does not fit fails the test with file and line.
func Dialogue(t T, addr, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("testkit: dialogue: %v", err)
	}
	if err := RunDialogue(addr, file, string(text)); err != nil {
		t.Fatalf("%v", err)
	}
}

// RunDialogue is Dialogue for a text, and returns the fault as an error that
// begins with "name:line:".
func RunDialogue(addr, name, text string) error {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	d := &dialogue{c: c, r: bufio.NewReader(c)}
	defer func() { d.c.Close() }()
	for i, line := range strings.Split(text, "\n") {
		if err := d.step(strings.TrimSuffix(line, "\r")); err != nil {
			return fmt.Errorf("%s:%d: %s: %w", name, i+1, line, err)
		}
	}
	return nil
}

type dialogue struct {
	c net.Conn
	r *bufio.Reader
}

func (d *dialogue) step(line string) error {
	if err := d.c.SetDeadline(time.Now().Add(dialogueTimeout)); err != nil {
		return err
	}
	op, arg, _ := strings.Cut(line, " ")
	switch op {
	case "", "#":
		return nil
	case "C:":
		return d.send(arg + "\r\n")
	case "C|":
		return d.sendEscaped(arg)
	case "C*":
		return d.sendMany(arg)
	case "S:":
		return d.expect(arg, false)
	case "S+":
		return d.expect(arg, true)
	case "starttls":
		return d.starttls()
	case "close":
		return d.expectClose()
	case "hangup":
		return d.hangup()
	}
	if strings.HasPrefix(op, "#") {
		return nil
	}
	return errors.New("not a step of a dialogue")
}

func (d *dialogue) send(s string) error {
	_, err := io.WriteString(d.c, s)
	return err
}

func (d *dialogue) sendEscaped(arg string) error {
	s, err := strconv.Unquote(`"` + strings.ReplaceAll(arg, `"`, `\"`) + `"`)
	if err != nil {
		return err
	}
	return d.send(s)
}

func (d *dialogue) sendMany(arg string) error {
	count, text, _ := strings.Cut(arg, " ")
	n, err := strconv.Atoi(count)
	if err != nil {
		return err
	}
	return d.send(strings.Repeat(text, n))
}

// expect compares a line, or the last line of a whole reply, with a pattern.
func (d *dialogue) expect(pattern string, whole bool) error {
	for {
		line, err := d.r.ReadString('\n')
		if err != nil {
			return fmt.Errorf("got %q and %w", line, err)
		}
		text, ok := strings.CutSuffix(line, "\r\n")
		if !ok {
			return fmt.Errorf("got %q, which does not end in CRLF", line)
		}
		if whole && len(text) > 3 && text[3] == '-' {
			continue
		}
		if !match(pattern, text) {
			return fmt.Errorf("got %q", text)
		}
		return nil
	}
}

func (d *dialogue) starttls() error {
	if d.r.Buffered() > 0 {
		return errors.New("octets are pending in front of the handshake")
	}
	tc := tls.Client(d.c, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // a test's peer
	if err := tc.Handshake(); err != nil {
		return err
	}
	d.c, d.r = tc, bufio.NewReader(tc)
	return nil
}

func (d *dialogue) expectClose() error {
	rest, err := io.ReadAll(d.r)
	if len(rest) > 0 {
		return fmt.Errorf("got %q", rest)
	}
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return errors.New("the connection is still open")
	}
	return nil // a reset is an end too
}

func (d *dialogue) hangup() error {
	if c, ok := d.c.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return errors.New("cannot close one side")
}

// match reports whether s fits pattern, in which "*" stands for any text.
func match(pattern, s string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == s
	}
	if !strings.HasPrefix(s, parts[0]) {
		return false
	}
	s = s[len(parts[0]):]
	last := len(parts) - 1
	for _, p := range parts[1:last] {
		i := strings.Index(s, p)
		if i < 0 {
			return false
		}
		s = s[i+len(p):]
	}
	return strings.HasSuffix(s, parts[last])
}
