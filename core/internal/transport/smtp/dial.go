// SPDX-License-Identifier: Apache-2.0

package smtp

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/postroad-mail/postroad/core/mail"
)

// The values of Target.TLS.
const (
	TLSOpportunistic = "opportunistic" // STARTTLS when offered, without checking the certificate; plain when that fails
	TLSRequired      = "required"      // STARTTLS with a certificate for the host's name, or nothing
	TLSOff           = "off"
)

// Target is one address of one host.
type Target struct {
	Host       string // for logs and outcomes, and the name in the certificate
	Addr       netip.AddrPort
	TLS        string     // empty: TLSOpportunistic
	ServerName string     // the name in the certificate, if not Host
	Local      netip.Addr // where the connection leaves from, of Addr's family; zero: the system chooses
	Hostname   string     // our name in EHLO; empty: Options.Hostname
	RequireTLS bool       // as TLSRequired, and the host must offer REQUIRETLS (RFC 8689 §4.2.1)
}

// name returns the name that the host's certificate must be for.
func (t Target) name() string {
	if t.ServerName != "" {
		return t.ServerName
	}
	return strings.TrimSuffix(t.Host, ".")
}

// errTLS marks a handshake that failed: a plain connection may still work.
var errTLS = errors.New("TLS handshake failed")

// errInjected is a host, or somebody between us, that sent text behind its
// reply to STARTTLS, to be read as if it had come over TLS.
var errInjected = errors.New("unexpected octets behind the reply to STARTTLS")

// Dial connects to a host and brings the connection to where MAIL can be sent:
// greeting, EHLO or HELO, and STARTTLS as target.TLS asks. When opportunistic
// TLS fails it connects once more without. The error is a *HostError, or that
// of ctx. The caller must call Run or Close on the Conn.
func (c *Client) Dial(ctx context.Context, target Target) (*Conn, error) {
	switch {
	case target.RequireTLS:
		target.TLS = TLSRequired
	case target.TLS == "":
		target.TLS = TLSOpportunistic
	}
	conn, err := c.dial(ctx, target)
	if target.TLS == TLSOpportunistic && errors.Is(err, errTLS) && ctx.Err() == nil {
		c.o.Logger.Debug("TLS failed, trying without", "host", target.Host, "error", err)
		target.TLS = TLSOff
		conn, err = c.dial(ctx, target)
	}
	if err != nil && ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return conn, err
}

func (c *Client) dial(ctx context.Context, target Target) (*Conn, error) {
	dialing, cancel := context.WithTimeout(ctx, c.o.Timeouts.Connect)
	defer cancel()
	nc, err := c.connect(dialing, target)
	if err != nil {
		failed := hostError(target, mail.Enhanced{4, 4, 1}, "cannot connect", err)
		failed.Local = target.Local.IsValid() && unbound(err)
		return nil, failed
	}
	stop := context.AfterFunc(ctx, func() { nc.Close() })
	defer stop()
	conn := newConn(c, target, nc)
	if err := conn.open(target); err != nil {
		conn.wire.c.Close()
		return nil, err
	}
	return conn, nil
}

func (c *Client) connect(ctx context.Context, target Target) (net.Conn, error) {
	if c.o.Dial != nil {
		return c.o.Dial(ctx, "tcp", target.Addr.String())
	}
	var d net.Dialer
	if target.Local.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(target.Local, 0))
	}
	return d.DialContext(ctx, "tcp", target.Addr.String())
}

// unbound reports whether a connection failed on this machine, for its local
// address. That a network cannot be reached is no such fault: a router on the way,
// the other side's perhaps, can say so too.
func unbound(err error) bool {
	var call *os.SyscallError
	return errors.As(err, &call) && call.Syscall == "bind"
}

// open does what comes before the first MAIL.
func (c *Conn) open(target Target) error {
	r, err := c.wire.read(c.wire.t.Greeting)
	if err := checkReply(target, "greeting", r, err); err != nil {
		return err
	}
	if err := c.hello(target); err != nil {
		return err
	}
	if target.TLS == TLSOff {
		return nil
	}
	if !c.ext.starttls {
		return c.withoutTLS(target, 0, "the host does not offer STARTTLS")
	}
	if err := c.starttls(target); err != nil {
		return err
	}
	return c.promised(target)
}

func (c *Conn) hello(target Target) error {
	r, ext, err := c.wire.hello(cmp.Or(target.Hostname, c.client.o.Hostname))
	if err := checkReply(target, "EHLO", r, err); err != nil {
		return err
	}
	c.ext, c.group = ext, 1
	if ext.pipelining {
		c.group = maxGroup
	}
	return nil
}

// starttls asks for TLS and starts over inside it (RFC 3207 §4.2): nothing that
// the host said before counts any more.
func (c *Conn) starttls(target Target) error {
	r, err := c.wire.command("STARTTLS", c.wire.t.Hello)
	if err != nil {
		return checkReply(target, "STARTTLS", r, err)
	}
	if r.code != 220 {
		return c.withoutTLS(target, r.code, "STARTTLS was refused: "+r.mailLine())
	}
	if c.wire.pending() {
		return hostError(target, mail.Enhanced{4, 7, 0}, "TLS refused", errInjected)
	}
	tc := tls.Client(c.wire.c, c.client.tlsConfig(target))
	if err := tc.SetDeadline(time.Now().Add(c.wire.t.Handshake)); err != nil {
		return hostError(target, mail.Enhanced{4, 4, 2}, "connection lost", err)
	}
	if err := tc.Handshake(); err != nil {
		return failedTLS(target, err)
	}
	c.wire = newWire(tc, c.wire.t)
	c.verify = c.client.verifier(target, tc.ConnectionState())
	c.tls = strings.ReplaceAll(tls.VersionName(tc.ConnectionState().Version), " ", "")
	return c.hello(target)
}

// withoutTLS decides what to do with a host that will not do TLS; code is its reply
// to STARTTLS, 0 without one.
func (c *Conn) withoutTLS(target Target, code int, why string) error {
	switch {
	case target.TLS == TLSOpportunistic:
		return nil
	case target.RequireTLS && code/100 != 4:
		return lacking(target, needsTLS, errors.New(why))
	}
	return hostError(target, mail.Enhanced{4, 7, 4}, "TLS is required and not available", errors.New(why))
}

func (c *Client) tlsConfig(target Target) *tls.Config {
	cfg := c.o.TLS.Clone()
	cfg.ServerName = target.name()
	if target.TLS == TLSOpportunistic {
		// Nothing is known about the host that a certificate could prove,
		// and any TLS is better than the plain text that comes next.
		cfg.InsecureSkipVerify = true
		cfg.MinVersion = tls.VersionTLS10 //nolint:gosec // see above
	}
	return cfg
}

// checkReply turns everything but a 2xx reply into a HostError.
func checkReply(target Target, to string, r *reply, err error) error {
	if err != nil {
		return hostError(target, mail.Enhanced{4, 4, 2}, "no reply to "+to, err)
	}
	if r.code/100 == 2 {
		return nil
	}
	return &HostError{Host: target.Host, Address: target.Addr.String(), Reply: r.mail(), Remote: true}
}

// hostError is for hosts that said nothing we could repeat.
func hostError(target Target, e mail.Enhanced, what string, cause error) *HostError {
	r := mail.Reply{Code: 451, Enhanced: e, Text: printable([]byte(what + ": " + reason(cause))), Cause: cause}
	return &HostError{Host: target.Host, Address: target.Addr.String(), Reply: r}
}
