// SPDX-License-Identifier: Apache-2.0

package hostile

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"strings"
	"time"

	"github.com/postroad-mail/postroad/core/mail"
)

// good is the end of every message.
const good = "\r\n\r\nIt works.\r\n"

// client is an SMTP session. Its methods may run on any goroutine.
type client struct {
	g    *rig
	conn net.Conn
	c    *textproto.Conn
}

// connect opens a connection and reads the banner.
func (g *rig) connect(listener string) (*client, string, error) {
	conn, err := dialTo(g.r.Addr(listener))
	if err != nil {
		return nil, "", err
	}
	c := &client{g, conn, textproto.NewConn(conn)}
	banner, err := c.reply()
	return c, banner, err
}

// dial opens a session.
func (g *rig) dial(listener string) (*client, error) {
	c, banner, err := g.connect(listener)
	if err == nil && !strings.HasPrefix(banner, "220 ") {
		err = errors.New(banner)
	}
	if err != nil {
		return nil, err
	}
	return c, c.must("EHLO client.test", "250 ")
}

// reply reads one, as "code text".
func (c *client) reply() (string, error) {
	code, text, err := c.c.ReadResponse(0)
	return fmt.Sprint(code, " ", text), err
}

// ask sends a line and returns the reply to it.
func (c *client) ask(line string) (string, error) {
	if err := c.c.PrintfLine("%s", line); err != nil {
		return "", err
	}
	return c.reply()
}

// must demands a reply.
func (c *client) must(line, want string) error {
	got, err := c.ask(line)
	if err == nil && !strings.HasPrefix(got, want) {
		err = fmt.Errorf("%s got %q, not %q", line, got, want)
	}
	return err
}

// send hands in one message and returns the first reply that is no usual one, or
// the one to the message.
func (c *client) send(from, to, token string) (string, error) {
	for _, s := range [][2]string{{"MAIL FROM:<" + from + ">", "250 "}, {"RCPT TO:<" + to + ">", "250 "}, {"DATA", "354 "}} {
		if got, err := c.ask(s[0]); err != nil || !strings.HasPrefix(got, s[1]) {
			return got, err
		}
	}
	w := c.c.DotWriter()
	if _, err := io.WriteString(w, "Subject: "+token+good); err != nil {
		return "", err
	}
	if err := w.Close(); err != nil {
		return "", err
	}
	return c.reply()
}

// honest sends a message that must be taken, and returns how long that took.
func (c *client) honest() (time.Duration, error) {
	token, began := c.g.book.token(), time.Now()
	got, err := c.send("a@here.test", "b@far.test", token)
	if err == nil && !strings.HasPrefix(got, "250 ") {
		err = fmt.Errorf("honest mail got %q", got)
	}
	if err == nil {
		c.g.book.take(token, false)
	}
	return time.Since(began), err
}

// strike makes one attack and returns what the client sees of it. Before MAIL
// each takes a connection; later ones share that of c.
func (g *rig) strike(a attack, c *client) (string, error) {
	switch a.phase {
	case mail.PhaseConnect, mail.PhaseTLS, mail.PhaseHelo:
		return g.knock(a)
	case mail.PhaseTick:
		g.clock.Advance(time.Minute)
		return "", g.r.Idle(g.t.Context())
	}
	to := "b@far.test"
	if a.phase == mail.PhaseBounce {
		to = "refused@far.test"
	}
	token := g.book.token()
	got, err := c.send("a@attack.test", to, token)
	if err == nil && strings.HasPrefix(got, "250 ") {
		g.book.take(token, true)
	} else if err == nil {
		err = c.must("RSET", "250 ")
	}
	return got, err
}

// knock begins a session, as far as it gets.
func (g *rig) knock(a attack) (string, error) {
	c, got, err := g.connect("attacked")
	if err != nil {
		return got, err
	}
	defer c.conn.Close()
	if a.phase == mail.PhaseConnect {
		return got, nil
	}
	if a.phase == mail.PhaseTLS {
		if err := c.secure(); err != nil {
			return "", err
		}
	}
	return c.ask("EHLO client.test")
}
