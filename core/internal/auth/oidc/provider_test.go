// SPDX-License-Identifier: Apache-2.0

package oidc

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/zitadel/oidc/v3/example/server/storage"
	zitadel "github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// accounts are those of the library's example, whose service user may have tokens
// for the user "id1".
type accounts struct {
	*storage.Storage
	kind op.AccessTokenType
}

func (a accounts) ClientCredentials(ctx context.Context, id, secret string) (op.Client, error) {
	c, err := a.Storage.ClientCredentials(ctx, id, secret)
	return typed{c, a.kind}, err
}

func (a accounts) ClientCredentialsTokenRequest(_ context.Context, _ string, scopes []string) (op.TokenRequest, error) {
	return &zitadel.JWTTokenRequest{Subject: "id1", Audience: []string{"smtp", "sid1"}, Scopes: scopes}, nil
}

func (a accounts) AuthorizeClientIDSecret(ctx context.Context, id, secret string) error {
	_, err := a.Storage.ClientCredentials(ctx, id, secret)
	return err
}

func (a accounts) GetPrivateClaimsFromScopes(context.Context, string, string, []string) (map[string]any, error) {
	return map[string]any{"email": "test-user@zitadel.ch", "email_verified": true}, nil
}

type typed struct {
	op.Client
	kind op.AccessTokenType
}

func (t typed) AccessTokenType() op.AccessTokenType { return t.kind }

// provider runs the provider of zitadel/oidc, and returns its issuer.
func provider(t *testing.T, kind op.AccessTokenType) string {
	t.Helper()
	var h http.Handler
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(w, r) }))
	t.Cleanup(s.Close)
	users := accounts{storage.NewStorage(storage.NewUserStore(s.URL)), kind}
	p, err := op.NewProvider(&op.Config{CryptoKey: [32]byte{1}, CryptoKeyId: "k"}, users, op.StaticIssuer(s.URL),
		op.WithAllowInsecure(), op.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	h = p
	return s.URL
}

// granted returns an access token of the provider.
func granted(t *testing.T, issuer string) string {
	t.Helper()
	resp, err := http.PostForm(issuer+"/oauth/token", url.Values{
		"grant_type": {"client_credentials"}, "client_id": {"sid1"}, "client_secret": {"verysecret"}, "scope": {"openid email profile"},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	var got struct {
		Token string `json:"access_token"`
	}
	if err := json.Unmarshal(body, &got); err != nil || got.Token == "" {
		t.Fatalf("%s: %s", resp.Status, body)
	}
	return got.Token
}

func open(t *testing.T, o Options) *Directory {
	t.Helper()
	o.UserClaim, o.Now, o.Skew = "email", time.Now, time.Minute
	d := New(o)
	t.Cleanup(func() { _ = d.Close() })
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	return d
}

func TestAnAccessTokenOfZitadelLogsIn(t *testing.T) {
	issuer := provider(t, op.AccessTokenTypeJWT)
	d := open(t, Options{Issuer: issuer, Audiences: []string{"smtp"}})
	who, err := d.Token(t.Context(), "test-user@zitadel.ch", granted(t, issuer))
	if err != nil || who.User != "test-user@zitadel.ch" {
		t.Errorf("%+v %v", who, err)
	}
	if _, err := d.Token(t.Context(), "", granted(t, provider(t, op.AccessTokenTypeJWT))); !isDenied(err) {
		t.Errorf("a token of another provider: %v", err)
	}
}

func TestZitadelIsAskedAboutATokenThatOnlyItCanRead(t *testing.T) {
	issuer := provider(t, op.AccessTokenTypeBearer)
	d := open(t, Options{Issuer: issuer, Introspect: &Credentials{"sid1", "verysecret"}})
	token := granted(t, issuer)
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
	wrong := open(t, Options{Issuer: issuer, Introspect: &Credentials{"sid1", "no"}})
	if _, err := wrong.Token(t.Context(), "", token); err == nil || isDenied(err) {
		t.Errorf("that we may not ask is a fault of ours: %v", err)
	}
}
