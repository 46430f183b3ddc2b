// SPDX-License-Identifier: Apache-2.0

// Package oidc is a directory of accounts that an OpenID provider keeps: clients
// show a token of the provider. A token is a JWT (RFC 7519, RFC 9068) that is
// checked here with the provider's keys, or one that the provider is asked about
// (RFC 7662).
package oidc

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/postroad-mail/postroad/core/internal/auth"
)

// maxToken is the longest token, in octets: one that fits a response of SMTP.
const maxToken = 9 << 10

// b64token are the characters of a token (RFC 6750 §2.1).
const b64token = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/="

// Options say whose tokens are good.
type Options struct {
	Issuer    string   // URL of the provider, as its tokens have it
	Audiences []string // a token is for one of them (aud); none: for anybody
	Clients   []string // it was issued to one of them (azp, client_id); none: to anybody
	Scopes    []string // it has all of them
	UserClaim string   // claim that names the account; email only if email_verified
	AnyEmail  bool     // email, whatever email_verified says
	Tenant    string   // of all accounts; empty: as the listener says
	// TenantClaim names the claim that says the tenant: a token without it is not
	// good. Empty: Tenant.
	TenantClaim string
	Skew        time.Duration // how far the provider's clock may be off
	Introspect  *Credentials  // if set, the provider is asked about each token
	Now         func() time.Time
	HTTP        http.RoundTripper // nil: a transport of its own
	Known       *Known            // shared by those that serve one relay; nil: of its own
}

// Credentials are what the relay shows the provider.
type Credentials struct{ ID, Secret string }

// Directory knows who a token is for. It is used by many sessions at once.
type Directory struct {
	o    Options
	http *http.Client

	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup

	mu     sync.Mutex
	last   *metadata     // nil: the provider has not answered yet
	tried  time.Time     // when it was asked last
	fault  error         // of that
	asking chan struct{} // closed when the answer is there; nil: it is not being asked
}

// New returns a directory. It does not ask the provider before the first token is
// shown. Close ends it.
func New(o Options) *Directory {
	if o.Known == nil {
		o.Known = NewKnown()
	}
	ctx, cancel := context.WithCancel(context.Background())
	return &Directory{o: o, http: newClient(o.HTTP), ctx: ctx, cancel: cancel, last: o.Known.get(o.Issuer)}
}

// Close waits for requests that run; they are broken off.
func (d *Directory) Close() error {
	d.mu.Lock()
	d.cancel()
	d.mu.Unlock()
	d.work.Wait()
	d.http.CloseIdleConnections()
	return nil
}

// Token implements auth.Tokens.
func (d *Directory) Token(ctx context.Context, user, token string) (*auth.Account, error) {
	if len(token) > maxToken || token == "" || strings.ContainsFunc(token, func(r rune) bool { return !strings.ContainsRune(b64token, r) }) {
		return nil, denied("%d octets are no token", len(token))
	}
	read := d.read
	if d.o.Introspect != nil {
		read = d.introspect
	}
	c, err := read(ctx, token)
	if err != nil {
		return nil, err
	}
	return d.account(c, user)
}

// account returns whom the claims of a good token name.
func (d *Directory) account(c claims, user string) (*auth.Account, error) {
	if err := d.check(c); err != nil {
		return nil, err
	}
	name := c.text(d.o.UserClaim)
	switch {
	case !plain(name):
		return nil, denied("claim %q names no user", d.o.UserClaim)
	case d.o.UserClaim == "email" && !d.o.AnyEmail && !c.truth("email_verified"):
		return nil, denied("the provider has not verified the address")
	case user != "" && !strings.EqualFold(user, name):
		return nil, denied("the token is for somebody else")
	}
	tenant := d.o.Tenant
	if d.o.TenantClaim != "" {
		if tenant = c.text(d.o.TenantClaim); !plain(tenant) {
			return nil, denied("claim %q names no tenant", d.o.TenantClaim)
		}
	}
	return &auth.Account{User: name, Tenant: tenant}, nil
}

// check compares claims with what Options want (RFC 9068 §4, RFC 7519 §4.1).
func (d *Directory) check(c claims) error {
	switch {
	case c.text("iss") != d.o.Issuer:
		return denied("the token has another issuer")
	case len(d.o.Audiences) > 0 && !overlap(d.o.Audiences, c.list("aud")):
		return denied("the token is for another audience")
	case len(d.o.Clients) > 0 && !slices.Contains(d.o.Clients, c.client()):
		return denied("the token was issued to another client")
	}
	for _, want := range d.o.Scopes {
		if !slices.Contains(c.scopes(), want) {
			return denied("the token has no scope %q", want)
		}
	}
	return c.timely(d.o.Now(), d.o.Skew)
}

func overlap(a, b []string) bool {
	return slices.ContainsFunc(a, func(s string) bool { return slices.Contains(b, s) })
}

// plain reports whether a name can stand in logs and records.
func plain(s string) bool {
	return s != "" && len(s) <= 255 && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || r == utf8.RuneError })
}

// denied is auth.ErrDenied with the reason, which is not for the client.
func denied(format string, args ...any) error {
	return fmt.Errorf("oidc: %s: %w", fmt.Sprintf(format, args...), auth.ErrDenied)
}
