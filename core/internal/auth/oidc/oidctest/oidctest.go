// SPDX-License-Identifier: Apache-2.0

// Package oidctest runs the OpenID provider of zitadel/oidc in a test.
package oidctest

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// What the provider knows: a user, and a client that may have tokens for it, for
// the audience "smtp".
const (
	User         = "test-user@zitadel.ch"
	ClientID     = "sid1"
	ClientSecret = "verysecret" //nolint:gosec // of the library's example
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
	return &oidc.JWTTokenRequest{Subject: "id1", Audience: []string{"smtp", ClientID}, Scopes: scopes}, nil
}

func (a accounts) AuthorizeClientIDSecret(ctx context.Context, id, secret string) error {
	_, err := a.Storage.ClientCredentials(ctx, id, secret)
	return err
}

func (a accounts) GetPrivateClaimsFromScopes(context.Context, string, string, []string) (map[string]any, error) {
	return map[string]any{"email": User, "email_verified": true}, nil
}

type typed struct {
	op.Client
	kind op.AccessTokenType
}

func (t typed) AccessTokenType() op.AccessTokenType { return t.kind }

// Issuer runs the provider until the test ends, and returns its URL. Its tokens are
// JWTs, or such as it alone can read.
func Issuer(t *testing.T, jwt bool) string {
	t.Helper()
	kind := op.AccessTokenTypeBearer
	if jwt {
		kind = op.AccessTokenTypeJWT
	}
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

// Token returns an access token for User.
func Token(t *testing.T, issuer string) string {
	t.Helper()
	resp, err := http.PostForm(issuer+"/oauth/token", url.Values{
		"grant_type": {"client_credentials"}, "client_id": {ClientID}, "client_secret": {ClientSecret}, "scope": {"openid email profile"},
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
