// SPDX-License-Identifier: Apache-2.0

package smtpin

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/postroad-mail/postroad/core/mail"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// received is one message as the test backend got it.
type received struct {
	client mail.Client
	from   mail.Address
	params MailParams
	to     []mail.Address
	rcpts  []RcptParams
	body   []byte
	err    error // of reading it
}

// backend records what reaches it. Local parts steer it: "reject" is 550,
// "defer" 451, "panic" panics; as sender, "early" answers DATA unread with 550,
// "discard" with 250, and "busy" with 421.
type backend struct {
	mu         sync.Mutex
	messages   []received // Data returned 250
	mails      int        // calls of Mail that opened a transaction
	datas      int        // calls of Data
	closes     int        // of transactions
	opens      int        // connections that Open took
	lefts      int        // calls of Session.Close
	told       []string   // calls, in order
	kind       Kind
	xclient    []netip.Prefix
	login      bool
	proxies    []netip.Prefix
	client     mail.Client // the last one that Open was asked about
	onOpen     func(*mail.Client) *mail.Reply
	onTLS      *mail.Reply
	onHelo     func(list []string) []string
	onReady    func() *mail.Reply
	mechanisms []string // of AUTH
	implicit   bool
	certs      int // the client's, at the last Mechanisms above TLS
	readies    int // calls of onReady, and how many it refused, where it counts them
	unready    int
	entered    chan struct{} // if set: told when Data begins
	release    chan struct{} // if set: Data waits for it
}

type transaction struct {
	b *backend
	m received
}

// visit is one connection as the test backend sees it.
type visit struct {
	b *backend
	c *mail.Client
}

func (b *backend) Open(_ context.Context, c *mail.Client) (Session, *mail.Reply) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.told = append(b.told, "open")
	b.client = *c
	if b.onOpen != nil {
		if r := b.onOpen(c); !accepted(r) {
			return nil, r
		}
	}
	b.opens++
	return &visit{b, c}, nil
}

func (v *visit) TLS(context.Context) *mail.Reply {
	v.b.tell("tls " + v.c.TLSVersion)
	return v.b.onTLS
}

func (v *visit) Helo(_ context.Context, list []string) ([]string, *mail.Reply) {
	v.b.tell("helo " + v.c.Protocol + " " + v.c.Helo)
	if v.c.Helo == "panic.example" {
		panic("test: asked to")
	}
	if v.c.Helo == "reject.example" {
		return nil, mail.NewReply(550, mail.Enhanced{5, 7, 1}, "not you")
	}
	if v.b.onHelo != nil {
		list = v.b.onHelo(list)
	}
	return list, nil
}

// Mechanisms implements Authenticator.
func (v *visit) Mechanisms(state *tls.ConnectionState) []string {
	if state != nil {
		v.b.mu.Lock()
		defer v.b.mu.Unlock()
		v.b.certs = len(state.PeerCertificates)
	}
	return v.b.mechanisms
}

// Login implements Authenticator.
func (v *visit) Login(mechanism string, _ *tls.ConnectionState) Login {
	v.b.tell("login " + mechanism)
	return &testLogin{}
}

// LoggedIn implements Authenticator.
func (v *visit) LoggedIn(context.Context) *mail.Reply {
	v.b.tell("user " + v.c.User)
	if v.c.User == "nobody" {
		return mail.NewReply(535, mail.Enhanced{5, 7, 1}, "not you")
	}
	return nil
}

// testLogin asks until it hears a user: "user NAME". "deny" is 535, "fault" 451,
// "odd" no final reply, "panic" panics.
type testLogin struct{}

func (*testLogin) Next(_ context.Context, response []byte) ([]byte, string, *mail.Reply) {
	name, known := strings.CutPrefix(string(response), "user ")
	switch {
	case known:
		return nil, name, nil
	case string(response) == "deny":
		return nil, "", mail.NewReply(535, mail.Enhanced{5, 7, 8}, "authentication failed")
	case string(response) == "fault":
		return nil, "", mail.OurFault(io.ErrNoProgress)
	case string(response) == "odd":
		return nil, "", mail.NewReply(0, mail.Enhanced{}, "secret")
	case string(response) == "panic":
		panic("test: asked to")
	}
	return []byte("who?"), "", nil
}

func (v *visit) Close() {
	v.b.tell("close")
	v.b.mu.Lock()
	defer v.b.mu.Unlock()
	v.b.lefts++
}

func (b *backend) tell(what string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.told = append(b.told, what)
}

func (v *visit) Mail(_ context.Context, from mail.Address, p MailParams) (Transaction, *mail.Reply) {
	b, c := v.b, v.c
	b.tell("mail")
	if r := steer(from, 7); r != nil {
		return nil, r
	}
	if from.Local() == "nothing" {
		return nil, nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mails++
	return &transaction{b, received{client: *c, from: from, params: p}}, nil
}

func (t *transaction) Ready(context.Context) *mail.Reply {
	t.b.tell("ready")
	if t.b.onReady != nil {
		return t.b.onReady()
	}
	return nil
}

func (t *transaction) Rcpt(_ context.Context, to mail.Address, p RcptParams) *mail.Reply {
	if r := steer(to, 1); r != nil {
		return r
	}
	t.m.to = append(t.m.to, to)
	t.m.rcpts = append(t.m.rcpts, p)
	return nil
}

func steer(a mail.Address, subject int) *mail.Reply {
	switch a.Local() {
	case "reject":
		return mail.NewReply(550, mail.Enhanced{5, subject, 1}, "no\r\n250 yes")
	case "defer":
		return mail.OurFault(io.ErrNoProgress)
	case "nonsense":
		return mail.NewReply(0, mail.Enhanced{}, "secret")
	case "panic":
		panic("test: asked to")
	}
	return nil
}

func (t *transaction) Data(ctx context.Context, r io.Reader) *mail.Reply {
	t.b.mu.Lock()
	t.b.datas++
	t.b.mu.Unlock()
	if t.b.entered != nil {
		t.b.entered <- struct{}{}
	}
	if t.b.release != nil {
		select {
		case <-t.b.release:
		case <-ctx.Done():
		}
	}
	switch t.m.from.Local() {
	case "early":
		return mail.NewReply(550, mail.Enhanced{5, 7, 1}, "early")
	case "discard":
		return mail.NewReply(250, mail.Enhanced{2, 0, 0}, "discarded")
	case "busy":
		return mail.NewReply(421, mail.Enhanced{4, 3, 2}, "busy")
	case "nil":
		return nil
	case "datapanic":
		panic("test: asked to")
	}
	t.m.body, t.m.err = io.ReadAll(r)
	if t.m.err == nil {
		t.b.mu.Lock()
		defer t.b.mu.Unlock()
		t.b.messages = append(t.b.messages, t.m)
	}
	return mail.NewReply(250, mail.Enhanced{2, 0, 0}, "queued") // even after an error: smtpin has to know better
}

// Replies gives each recipient its own reply when one of them asks for that by its
// local part: "late-reject", "late-defer", "late-busy", "late-nil"; "late-odd" gets
// one too few.
func (t *transaction) Replies() []*mail.Reply {
	var all []*mail.Reply
	own := false
	for _, to := range t.m.to {
		local := to.Local()
		own = own || strings.HasPrefix(local, "late")
		all = append(all, lateReply(local))
		if local == "late-odd" {
			return all[1:]
		}
	}
	if !own {
		return nil
	}
	return all
}

func lateReply(local string) *mail.Reply {
	switch local {
	case "late-reject":
		return mail.NewReply(550, mail.Enhanced{5, 7, 1}, "not him")
	case "late-defer":
		return mail.NewReply(452, mail.Enhanced{4, 2, 2}, "over quota")
	case "late-busy":
		return mail.NewReply(421, mail.Enhanced{4, 3, 2}, "busy")
	case "late-nil":
		return nil
	}
	return mail.NewReply(250, mail.Enhanced{2, 0, 0}, "queued for "+local)
}

func (t *transaction) Close() {
	t.b.mu.Lock()
	defer t.b.mu.Unlock()
	t.b.closes++
	t.b.told = append(t.b.told, "end")
}

func (b *backend) bodies() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var s []string
	for _, m := range b.messages {
		s = append(s, string(m.body))
	}
	return s
}

// observer counts.
type observer struct {
	mu       sync.Mutex
	open     int
	commands map[string]int
	refused  map[string]int
	panics   int
}

func newObserver() *observer {
	return &observer{commands: map[string]int{}, refused: map[string]int{}}
}

func (o *observer) Connected()       { o.mu.Lock(); o.open++; o.mu.Unlock() }
func (o *observer) Disconnected()    { o.mu.Lock(); o.open--; o.mu.Unlock() }
func (o *observer) Command(v string) { o.mu.Lock(); o.commands[v]++; o.mu.Unlock() }
func (o *observer) Refused(r string, c int) {
	o.mu.Lock()
	o.refused[fmt.Sprint(c, " ", r)]++
	o.mu.Unlock()
}
func (o *observer) Panicked() { o.mu.Lock(); o.panics++; o.mu.Unlock() }

func (o *observer) count(m map[string]int, key string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return m[key]
}

// serve runs a server for the test on loopback and returns its address.
func serve(t testing.TB, o Options) (*Server, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o.Hostname = "mx.example.org"
	o.Name = "test"
	s := NewServer(o)
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		_ = s.Shutdown(ctx) // connections that a test left open are cut
		if err := <-done; err != ErrServerClosed {
			t.Errorf("Serve: %v", err)
		}
	})
	return s, l.Addr().String()
}

// client is a raw SMTP client.
type client struct {
	t testing.TB
	c net.Conn
	r *bufio.Reader
}

func dial(t testing.TB, addr string) *client {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return newClient(t, c)
}

func newClient(t testing.TB, c net.Conn) *client {
	_ = c.SetDeadline(time.Now().Add(20 * time.Second)) // a test that hangs shall say where
	return &client{t, c, bufio.NewReader(c)}
}

func (c *client) send(s string) {
	c.t.Helper()
	if _, err := io.WriteString(c.c, s); err != nil {
		c.t.Fatalf("send %.60q: %v", s, err)
	}
}

// reply reads one reply, of any number of lines.
func (c *client) reply() (string, error) {
	var b strings.Builder
	for {
		line, err := c.r.ReadString('\n')
		b.WriteString(line)
		if err != nil {
			return b.String(), err
		}
		if len(line) < 5 || line[3] != '-' {
			return b.String(), nil
		}
	}
}

func (c *client) expect(prefix string) string {
	c.t.Helper()
	got, err := c.reply()
	if err != nil || !strings.HasPrefix(got, prefix) {
		c.t.Fatalf("want %q, got %q, %v", prefix, got, err)
	}
	return got
}

func (c *client) cmd(line, prefix string) string {
	c.t.Helper()
	c.send(line + "\r\n")
	return c.expect(prefix)
}

func (c *client) hello() *client {
	c.t.Helper()
	c.expect("220 mx.example.org ESMTP")
	c.cmd("EHLO client.example", "250-mx.example.org\r\n")
	return c
}

// envelope opens a transaction with one recipient.
func (c *client) envelope() *client {
	c.t.Helper()
	c.cmd("MAIL FROM:<a@example.com>", "250 2.1.0")
	c.cmd("RCPT TO:<b@example.org>", "250 2.1.5")
	return c
}

// closed expects the server to have closed, after nothing more.
func (c *client) closed() {
	c.t.Helper()
	rest, err := io.ReadAll(c.r)
	if len(rest) > 0 || err != nil && !strings.Contains(err.Error(), "reset") {
		c.t.Fatalf("want the connection closed, got %q, %v", rest, err)
	}
}

func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if g, w := fmt.Sprintf("%q", got), fmt.Sprintf("%q", want); g != w {
		t.Errorf("%s: got %.300s, want %.300s", what, g, w)
	}
}

func lines(n, length int) []byte {
	return bytes.Repeat(append(bytes.Repeat([]byte("x"), length-2), '\r', '\n'), n)
}
