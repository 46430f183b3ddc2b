// SPDX-License-Identifier: Apache-2.0

package smtpin

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/postroad-mail/postroad/core/mail"
)

// state is a place in a session, and how a client gets there.
type state struct {
	name string
	way  []string // what is sent, each answered by one reply; "tls" is a handshake
}

// states are all places where a server waits for a command.
func states() []state {
	const ehlo, from, to = "EHLO client.example", "MAIL FROM:<a@example.com>", "RCPT TO:<b@example.org>"
	return []state{
		{"fresh", nil},
		{"helo", []string{"HELO client.example"}},
		{"idle", []string{ehlo}},
		{"mail", []string{ehlo, from}},
		{"tried", []string{ehlo, from, "RCPT TO:<reject@example.org>"}},
		{"rcpt", []string{ehlo, from, to}},
		{"full", []string{ehlo, from, to, "RCPT TO:<c@example.org>"}},
		{"chunk", []string{ehlo, from, to, "BDAT 2\r\nab"}},
		{"binary", []string{ehlo, from + " BODY=BINARYMIME", to}},
		{"done", []string{ehlo, from, to, "BDAT 2 LAST\r\nab"}},
		{"reset", []string{ehlo, from, to, "RSET"}},
		{"user", []string{ehlo, "AUTH PLAIN dXNlciBhbm4="}},
		{"tls", []string{ehlo, "STARTTLS", "tls"}},
		{"tls idle", []string{ehlo, "STARTTLS", "tls", ehlo}},
		{"refused", nil},
	}
}

// form is a command as a client may say it: right, or with one kind of fault.
type form struct{ kind, text string }

// forms are all commands in all their forms. A text may hold the content behind
// its line; "DATA" gets content when it is answered by 354.
func forms() []form {
	var all []form
	add := func(kind string, texts ...string) {
		for _, t := range texts {
			all = append(all, form{kind, t})
		}
	}
	add("ok", "EHLO client.example", "HELO client.example", "MAIL FROM:<a@example.com>", "MAIL FROM:<> SIZE=10 BODY=8BITMIME",
		"MAIL FROM:<a@example.com> BODY=BINARYMIME HOLDFOR=60 BY=90;RT MT-PRIORITY=-9",
		"RCPT TO:<c@example.org>", "RCPT TO:<c@example.org> RRVS=2014-04-03T23:01:00Z;C", "RCPT TO:<reject@example.org>", "DATA", "BDAT 2\r\nab", "BDAT 0 LAST", "BDAT 2 LAST\r\nab",
		"RSET", "NOOP", "NOOP any words", "HELP", "VRFY someone", "STARTTLS", "AUTH PLAIN dXNlciBhbm4=", "AUTH PLAIN ZGVueQ==", "QUIT")
	add("syntax", "EHLO", "EHLO two words", "HELO bad(", "MAIL", "MAIL FROM:a@example.com", "MAIL FROM:<a b@example.com>", "MAIL FROM:<a@example.com> SIZE=x",
		"MAIL FROM:<a@example.com> COLOUR=red", "MAIL FROM:<a@example.com> BY=0;R", "MAIL FROM:<a@example.com> HOLDFOR=0", "MAIL FROM:<a@example.com> MT-PRIORITY=10",
		"RCPT TO:<b@example.org> RRVS=x", "RCPT", "RCPT TO:<>", "RCPT TO:<@example.org>", "RCPT TO:<b@example.org> COLOUR=red", "DATA now",
		"BDAT", "BDAT x", "RSET now", "VRFY", "STARTTLS now", "AUTH", "AUTH OTHER", "AUTH PLAIN ####", "QUIT now", "", " ", "WHAT", "EXPN list", "NOOP \x01")
	add("limit", "MAIL FROM:<a@example.com> SIZE=1001", "MAIL FROM:<a@example.com> HOLDFOR=999999999", "RCPT TO:<"+strings.Repeat("x", 65)+"@example.org>", "BDAT 1001\r\n"+strings.Repeat("x", 1001),
		"NOOP "+strings.Repeat("x", 600), "GET / HTTP/1.1")
	return all
}

// TestMatrix says every command in every form in every state, each in a session
// of its own, and compares replies and the state behind them with
// testdata/matrix. The rules that hold for all of them are checked besides.
func TestMatrix(t *testing.T) {
	all := states()
	datadriven.RunTest(t, "testdata/matrix", func(t *testing.T, d *datadriven.TestData) string {
		i := slices.IndexFunc(all, func(s state) bool { return s.name == strings.TrimSpace(d.Input) })
		if i < 0 {
			t.Fatalf("no state %q", d.Input)
		}
		s := all[i]
		all = slices.Delete(all, i, i+1)
		return inState(t, s)
	})
	for _, s := range all {
		t.Errorf("testdata/matrix does not have state %q", s.name)
	}
}

func inState(t *testing.T, s state) string {
	b := &backend{mechanisms: []string{"PLAIN"}}
	if s.name == "refused" {
		b.onOpen = func(*mail.Client) *mail.Reply { return mail.NewReply(550, mail.Enhanced{5, 7, 1}, "not you") }
	}
	_, addr := serve(t, Options{Backend: b, TLS: serverTLS(t), Limits: Limits{
		MessageSize: 1000, Recipients: 2, LineLength: 200, CommandLine: 512, DataTimeout: time.Minute,
	}})
	var table strings.Builder
	for _, f := range forms() {
		before := place(walk(t, addr, s))
		c := walk(t, addr, s)
		code := c.command(f.text)
		after := place(c)
		fmt.Fprintf(&table, "%-6s %-40s %-8s %s\n", f.kind, shown(f.text), code, after)
		if fault := broken(f, code, before, after); fault != "" {
			t.Errorf("state %s, %q: %s, then %s: %s", s.name, f.text, code, after, fault)
		}
	}
	return table.String()
}

// broken says which of the rules for all cells a cell breaks.
func broken(f form, code, before, after string) string {
	refused := code[0] == '4' || code[0] == '5'
	switch {
	case strings.HasPrefix(f.text, "QUIT") && code == "221":
		return "" // who was refused may leave in any words
	case f.kind != "ok" && !refused:
		return "a fault was taken"
	case f.kind == "syntax" && code != "421" && code[0] != '5':
		return "a fault of syntax is the client's"
	case code == "421" && after != "closed":
		return "421 did not close the connection"
	case refused && before != after && after != "closed" && before != "chunk" && !strings.HasPrefix(f.text, "BDAT"):
		return "a refusal changed the state " + before
	}
	return ""
}

func shown(text string) string {
	line, _, content := strings.Cut(text, "\r\n")
	if len(line) > 36 {
		line = line[:30] + "…"
	}
	if content {
		line += " +"
	}
	return strings.Trim(fmt.Sprintf("%q", line), `"`)
}

// walk opens a connection and goes to a state.
func walk(t *testing.T, addr string, s state) *client {
	t.Helper()
	c := dial(t, addr)
	if _, err := c.reply(); err != nil {
		t.Fatal(err)
	}
	for _, step := range s.way {
		if step == "tls" {
			over := tls.Client(c.c, &tls.Config{InsecureSkipVerify: true})
			if err := over.Handshake(); err != nil {
				t.Fatal(err)
			}
			c.c, c.r = over, bufio.NewReader(over)
			continue
		}
		c.command(step)
	}
	return c
}

// command says one command, with what belongs behind it, and returns the code of
// the last reply to it; "closed" where there is none.
func (c *client) command(text string) string {
	end := "\r\n"
	if strings.Contains(text, "\r\n") {
		end = ""
	}
	if _, err := io.WriteString(c.c, text+end); err != nil {
		return "closed"
	}
	code := c.code()
	if code == "354" {
		c.send("content\r\n.\r\n")
		return code + " " + c.code()
	}
	return code
}

// code reads a reply and returns its code.
func (c *client) code() string {
	reply, err := c.reply()
	if err != nil || len(reply) < 3 {
		return "closed"
	}
	return reply[:3]
}

// place tells where a session is by what it says to commands, and ends it.
func place(c *client) string {
	defer c.c.Close()
	if _, err := io.WriteString(c.c, "MAIL FROM:<probe@example.com>\r\n"); err != nil {
		return "closed"
	}
	reply, _ := c.reply()
	switch {
	case len(reply) < 3, strings.HasPrefix(reply, "500"), strings.HasPrefix(reply, "421"):
		return "closed" // or its last word on what came before
	case strings.HasPrefix(reply, "250"):
		return "idle"
	case strings.Contains(reply, "EHLO first"):
		return "fresh"
	case strings.Contains(reply, "chunks"):
		return "chunk"
	case strings.Contains(reply, "nested"):
		return within(c)
	}
	return reply[:3]
}

// within tells where in a transaction a session is.
func within(c *client) string {
	full := c.command("RCPT TO:<probe@example.org>") == "452"
	switch code := c.command("DATA"); {
	case full:
		return "full"
	case strings.HasPrefix(code, "354"):
		return "open"
	case code == "503" && c.command("BDAT 0 LAST") == "250":
		return "binary"
	}
	return "stuck"
}
