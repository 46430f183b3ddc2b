// SPDX-License-Identifier: Apache-2.0

package oidc

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/postroad-mail/postroad/core/internal/auth/oidc/oidctest"
)

func open(t *testing.T, o Options) *Directory {
	t.Helper()
	o.UserClaim, o.Now, o.Skew = "email", time.Now, time.Minute
	d := New(o)
	t.Cleanup(func() { _ = d.Close() })
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	return d
}

func TestAnAccessTokenOfZitadelLogsIn(t *testing.T) {
	issuer := oidctest.Issuer(t, true)
	d := open(t, Options{Issuer: issuer, Audiences: []string{"smtp"}})
	who, err := d.Token(t.Context(), oidctest.User, oidctest.Token(t, issuer))
	if err != nil || who.User != oidctest.User {
		t.Errorf("%+v %v", who, err)
	}
	if _, err := d.Token(t.Context(), "", oidctest.Token(t, oidctest.Issuer(t, true))); !isDenied(err) {
		t.Errorf("a token of another provider: %v", err)
	}
}

func TestZitadelIsAskedAboutATokenThatOnlyItCanRead(t *testing.T) {
	issuer := oidctest.Issuer(t, false)
	d := open(t, Options{Issuer: issuer, Introspect: &Credentials{oidctest.ClientID, oidctest.ClientSecret}})
	token := oidctest.Token(t, issuer)
	if strings.Count(token, ".") == 2 {
		t.Fatal("the token is a JWT")
	}
	who, err := d.Token(t.Context(), "", token)
	if err != nil || !strings.HasPrefix(who.User, "test-user@") {
		t.Errorf("%+v %v", who, err)
	}
	for _, bad := range []string{"x", token[:len(token)-4], "..", "a b\x01"} {
		if who, err := d.Token(t.Context(), "", bad); !isDenied(err) {
			t.Errorf("%q: %+v %v", bad, who, err)
		}
	}
	wrong := open(t, Options{Issuer: issuer, Introspect: &Credentials{oidctest.ClientID, "no"}})
	if _, err := wrong.Token(t.Context(), "", token); err == nil || isDenied(err) {
		t.Errorf("that we may not ask is a fault of ours: %v", err)
	}
}
