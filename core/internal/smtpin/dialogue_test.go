// SPDX-License-Identifier: Apache-2.0

package smtpin

import (
	"bufio"
	"cmp"
	"crypto/tls"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/postroad-mail/postroad/core/mail"
)

// TestDialogues plays testdata/*.txt against a server. Lines of a file:
//
//	# comment
//	@ open 550 5.7.1 text     the backend's reply to Open; also tls
//	@ ready 1 550 5.7.1 text  its reply to the first so many Ready
//	@ auth PLAIN XTEST         the mechanisms that it serves; see testLogin
//	@ kind lmtp               what the server speaks: submission or lmtp
//	@ helo -CHUNKING +XTRA    what it takes off the EHLO list, of which * is all, and puts on it
//	@ implicit                 TLS begins with the first octet
//	@ xclient login           the client may say XCLIENT, and LOGIN with it
//	@ proxy                   the client must begin with a PROXY header
//	> text          send the text and CRLF
//	>> "text"       send the octets of a Go string
//	< text          expect a reply line that begins with text
//	reply text      expect a reply of any number of lines, the last of which begins with text
//	list +A_B -C    expect an EHLO list with a line that begins with "A B" and none with "C"
//	tls             do a TLS handshake
//	told text       expect the backend to have been told so
//	close           expect the server to close the connection
//	message "text"  expect the backend to have got a message, in order
//	client text     expect the address, name, HELO and user of the last client that was
//	                asked about, with - where there is none
//	none            expect the backend to have got no further message
func TestDialogues(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no dialogues", err)
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txt"), func(t *testing.T) {
			t.Parallel()
			play(t, f)
		})
	}
}

func play(t *testing.T, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	b := &backend{}
	script := strings.Split(string(text), "\n")
	for _, line := range script {
		if arg, ok := strings.CutPrefix(line, "@ "); ok {
			b.prepare(arg)
		}
	}
	_, addr := serve(t, Options{
		Backend: b,
		Kind:    b.kind, XClient: b.xclient, XClientLogin: b.login, Proxies: b.proxies,
		TLS: serverTLS(t), Implicit: b.implicit,
		Limits: Limits{MessageSize: 1000, Recipients: 3, LineLength: 200, Errors: 8, IdleCommands: 30, DataTimeout: time.Minute},
	})
	d := &dialogue{client: dial(t, addr), b: b}
	for i, line := range script {
		if line == "" || line[0] == '#' || line[0] == '@' {
			continue
		}
		if fault := d.step(line); fault != "" {
			t.Fatalf("%s:%d: %s: %s", file, i+1, line, fault)
		}
	}
	if d.seen != len(b.bodies()) {
		t.Errorf("%s: backend got more than expected: %q", file, b.bodies()[d.seen:])
	}
}

// prepare makes the backend answer as a dialogue says.
func (b *backend) prepare(arg string) {
	words := strings.Fields(arg)
	switch words[0] {
	case "open":
		r := replyIn(words[1:])
		b.onOpen = func(*mail.Client) *mail.Reply { return r }
	case "tls":
		b.onTLS = replyIn(words[1:])
	case "implicit":
		b.implicit = true
	case "auth":
		b.mechanisms = words[1:]
	case "ready":
		left, _ := strconv.Atoi(words[1])
		b.onReady = func() *mail.Reply {
			if left--; left < 0 {
				return nil
			}
			return replyIn(words[2:])
		}
	case "xclient":
		b.xclient, b.login = loopback(), len(words) > 1
	case "proxy":
		b.proxies = loopback()
	case "kind":
		b.kind = map[string]Kind{"submission": Submission, "lmtp": LMTP}[words[1]]
	case "helo":
		b.onHelo = func(list []string) []string { return edit(list, words[1:]) }
	}
}

func loopback() []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} }

// lastClient is the last client that the backend was asked about. The port of one
// that was not named is left out.
func (b *backend) lastClient() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.client
	addr := c.Addr.String()
	switch {
	case !c.Addr.Addr().IsValid():
		addr = "-"
	case !c.Via.IsValid():
		addr = c.Addr.Addr().String()
	}
	return strings.Join([]string{addr, cmp.Or(c.Name, "-"), cmp.Or(c.Helo, "-"), cmp.Or(c.User, "-")}, " ")
}

func replyIn(words []string) *mail.Reply {
	code, _ := strconv.Atoi(words[0])
	var e mail.Enhanced
	for i, n := range strings.Split(words[1], ".") {
		e[i], _ = strconv.Atoi(n)
	}
	return mail.NewReply(code, e, strings.Join(words[2:], " "))
}

func edit(list, changes []string) []string {
	list = slices.Clone(list)
	for _, c := range changes {
		line := strings.ReplaceAll(c[1:], "_", " ")
		if c[0] == '+' {
			list = append(list, line)
			continue
		}
		list = slices.DeleteFunc(list, func(l string) bool { return line == "*" || strings.HasPrefix(l, line) })
	}
	return list
}

type dialogue struct {
	*client
	b    *backend
	seen int
}

func (d *dialogue) step(line string) (fault string) {
	op, arg, _ := strings.Cut(line, " ")
	switch op {
	case ">":
		d.send(arg + "\r\n")
	case ">>":
		text, err := strconv.Unquote(arg)
		if err != nil {
			return err.Error()
		}
		d.send(text)
	case "<":
		got, err := d.r.ReadString('\n')
		if err != nil || !strings.HasPrefix(got, arg) || !strings.HasSuffix(got, "\r\n") {
			return "got " + strconv.Quote(got)
		}
	case "reply":
		return d.reply(arg)
	case "tls":
		c := tls.Client(d.c, &tls.Config{InsecureSkipVerify: true})
		if err := c.Handshake(); err != nil {
			return err.Error()
		}
		d.c, d.r = c, bufio.NewReader(c)
	case "told":
		if d.b.calls(arg) == 0 {
			return "the backend was not told so"
		}
	case "close":
		d.closed()
	case "list":
		return d.list(strings.Fields(arg))
	case "client":
		if got := d.b.lastClient(); got != arg {
			return "got " + got
		}
	case "message":
		return d.message(arg)
	case "none":
		if n := len(d.b.bodies()); n != d.seen {
			return "backend got " + strconv.Itoa(n)
		}
	default:
		return "unknown line"
	}
	return ""
}

// reply reads a whole reply.
func (d *dialogue) reply(arg string) (fault string) {
	for {
		got, err := d.r.ReadString('\n')
		if err != nil || len(got) < 4 || got[3] != '-' && !strings.HasPrefix(got, arg) {
			return "got " + strconv.Quote(got)
		}
		if got[3] != '-' {
			return ""
		}
	}
}

func (d *dialogue) list(wants []string) string {
	reply, err := d.client.reply()
	if err != nil || !strings.HasPrefix(reply, "250-") {
		return "got " + strconv.Quote(reply)
	}
	for _, w := range wants {
		line := strings.ReplaceAll(w[1:], "_", " ")
		if there := strings.Contains(reply, "250-"+line) || strings.Contains(reply, "250 "+line); there != (w[0] == '+') {
			return w + ": got " + strconv.Quote(reply)
		}
	}
	return ""
}

func (d *dialogue) message(arg string) string {
	want, err := strconv.Unquote(arg)
	if err != nil {
		return err.Error()
	}
	got := d.b.bodies()
	if len(got) <= d.seen {
		return "no message"
	}
	d.seen++
	if got[d.seen-1] != want {
		return "got " + strconv.Quote(got[d.seen-1])
	}
	return ""
}
