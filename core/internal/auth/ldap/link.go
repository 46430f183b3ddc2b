// SPDX-License-Identifier: Apache-2.0

package ldap

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
)

// maxReplies is how many octets a server may say in one login.
const maxReplies = 1 << 20

// server is one server that can be asked.
type server struct {
	url              string
	network, address string
	tls              *tls.Config // nil: no TLS
	startTLS         bool        // TLS begins after a request
	timeout          time.Duration
}

// CheckURL reports what is wrong with a URL of a server: passwords go by TLS, or
// stay on this machine.
func CheckURL(s string, startTLS bool) error {
	_, err := newServer(s, Options{StartTLS: startTLS})
	return err
}

func newServer(s string, o Options) (*server, error) {
	if path, ok := strings.CutPrefix(s, "ldapi://"); ok {
		return socket(s, path, o)
	}
	u, err := url.Parse(s)
	if err != nil || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "" {
		return nil, fmt.Errorf("%q is no URL of a server", s)
	}
	v := &server{url: s, network: "tcp", timeout: o.Timeout, startTLS: o.StartTLS && u.Scheme == "ldap"}
	switch {
	case u.Scheme == "ldaps" || v.startTLS:
		v.tls = &tls.Config{ServerName: u.Hostname(), RootCAs: o.Roots, MinVersion: tls.VersionTLS12}
	case u.Scheme != "ldap":
		return nil, fmt.Errorf("%q is no URL of LDAP", s)
	case !thisMachine(u.Hostname()):
		return nil, fmt.Errorf("%q without TLS would show passwords to the network; set starttls, or write ldaps", s)
	}
	v.address = net.JoinHostPort(u.Hostname(), portOf(u))
	return v, nil
}

// socket reads what stands behind ldapi://: the path, with %2F for slashes, or as it
// is.
func socket(s, path string, o Options) (*server, error) {
	path, err := url.PathUnescape(path)
	if err != nil || !strings.HasPrefix(path, "/") {
		return nil, fmt.Errorf("%q names no socket", s)
	}
	return &server{url: s, network: "unix", address: path, timeout: o.Timeout}, nil
}

func portOf(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "ldaps":
		return ldap.DefaultLdapsPort
	}
	return ldap.DefaultLdapPort
}

func thisMachine(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// link is one connection to a server.
type link struct {
	raw     *bounded
	conn    *ldap.Conn
	timeout time.Duration
}

func (s *server) dial(ctx context.Context) (*link, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	c, err := (&net.Dialer{}).DialContext(ctx, s.network, s.address)
	if err != nil {
		return nil, err
	}
	raw := &bounded{Conn: c}
	raw.left.Store(maxReplies)
	defer context.AfterFunc(ctx, func() { _ = raw.Close() })()
	secured, err := s.secure(ctx, raw)
	if err != nil {
		_ = raw.Close()
		return nil, err
	}
	conn := ldap.NewConn(secured, s.tls != nil)
	conn.SetTimeout(s.timeout)
	conn.Start()
	return &link{raw, conn, s.timeout}, nil
}

// secure begins TLS, if it is to be.
func (s *server) secure(ctx context.Context, raw net.Conn) (net.Conn, error) {
	if s.tls == nil {
		return raw, nil
	}
	if s.startTLS {
		if err := requestTLS(raw); err != nil {
			return nil, err
		}
	}
	t := tls.Client(raw, s.tls)
	return t, t.HandshakeContext(ctx)
}

// startTLSRequest is the extended request of RFC 4511 §4.14.1, as message 1.
const startTLSRequest = "\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037"

// requestTLS reads the answer to its last octet and not one more: what a stranger
// puts behind it is part of no session.
func requestTLS(raw net.Conn) error {
	if _, err := io.WriteString(raw, startTLSRequest); err != nil {
		return err
	}
	packet, err := ber.ReadPacket(raw)
	if err != nil {
		return fmt.Errorf("the answer to StartTLS: %w", err)
	}
	if len(packet.Children) < 2 || packet.Children[0].Value != int64(1) || packet.Children[1].Tag != ldap.ApplicationExtendedResponse {
		return errors.New("the answer to StartTLS is none")
	}
	return ldap.GetLDAPError(packet)
}

// within asks in the time that a login has. An answer that the library chokes on is
// a fault.
func (l *link) within(ctx context.Context, ask func(*ldap.Conn) error) (err error) {
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("an answer that cannot be read: %v", r)
		}
	}()
	l.raw.left.Store(maxReplies)
	over := context.AfterFunc(ctx, func() { _ = l.raw.Close() })
	err = ask(l.conn)
	if !over() && settled(err) {
		return errors.Join(errors.New("the time was over"), ctx.Err())
	}
	return err
}

func (l *link) close() {
	_ = l.raw.Close()
	_ = l.conn.Close()
}

// bounded is a connection on which the server may say so much and no more.
type bounded struct {
	net.Conn
	left atomic.Int64 // octets
}

// Read implements net.Conn.
func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.Conn.Read(p)
	if b.left.Add(-int64(n)) < 0 {
		return 0, errors.New("the server says too much")
	}
	return n, err
}
