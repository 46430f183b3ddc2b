// SPDX-License-Identifier: Apache-2.0

package sasl

import (
	"context"
	"errors"
	"strings"

	"github.com/postroad-mail/postroad/core/internal/auth"
)

// bearerError is what a client hears of a token that is not good (RFC 7628 §3.2.2;
// XOAUTH2 says it alike). It then has to send a last response.
const bearerError = `{"status":"invalid_token","schemes":"bearer","scope":""}`

// oauthBearer is OAUTHBEARER (RFC 7628).
func (s *Server) oauthBearer(p auth.Peer) auth.Exchange {
	return s.bearer(p, func(message string) (user, token string, ok bool) {
		flag, rest, _ := strings.Cut(message, ",")
		as, fields, ok := strings.Cut(rest, ",")
		if !ok || flag != "n" && flag != "y" || as != "" && !strings.HasPrefix(as, "a=") {
			return "", "", false
		}
		user, ok = saslname(strings.TrimPrefix(as, "a="))
		token, good := bearerToken(fields)
		return user, token, ok && good
	})
}

// xoauth2 is XOAUTH2, Google's form of before the RFC.
func (s *Server) xoauth2(p auth.Peer) auth.Exchange {
	return s.bearer(p, func(message string) (user, token string, ok bool) {
		name, fields, _ := strings.Cut(message, "\x01")
		user, ok = strings.CutPrefix(name, "user=")
		token, good := bearerToken("\x01" + fields)
		return user, token, ok && good
	})
}

// bearerToken finds the token in fields that ^A begins, separates and ends.
func bearerToken(fields string) (token string, ok bool) {
	if !strings.HasPrefix(fields, "\x01") || !strings.HasSuffix(fields, "\x01\x01") {
		return "", false
	}
	for _, f := range strings.Split(strings.Trim(fields, "\x01"), "\x01") {
		key, value, _ := strings.Cut(f, "=")
		if key != "auth" {
			continue
		}
		kind, t, found := strings.Cut(value, " ")
		if token != "" || !found || !strings.EqualFold(kind, "bearer") || t == "" {
			return "", false
		}
		token = t
	}
	return token, token != ""
}

// saslname decodes =2C and =3D (RFC 5801 §4).
func saslname(s string) (string, bool) {
	plain := strings.NewReplacer("=2C", "", "=3D", "").Replace(s)
	return strings.NewReplacer("=2C", ",", "=3D", "=").Replace(s), !strings.Contains(plain, "=")
}

// bearer is an exchange by a token.
func (s *Server) bearer(p auth.Peer, parse func(message string) (user, token string, ok bool)) auth.Exchange {
	var refused error
	return clientFirst(func(ctx context.Context, response []byte) ([]byte, *auth.Account, error) {
		user, token, ok := parse(string(response))
		if !ok {
			return nil, nil, auth.ErrDenied
		}
		who, err := s.token(ctx, p, user, token)
		if errors.Is(err, auth.ErrDenied) {
			refused = err
			return []byte(bearerError), nil, nil
		}
		return nil, who, err
	}, func(context.Context, []byte) ([]byte, *auth.Account, error) { return nil, nil, refused })
}

// token asks the directories about a token.
func (s *Server) token(ctx context.Context, p auth.Peer, user, token string) (*auth.Account, error) {
	return s.guarded(p, user, func() (*auth.Account, error) {
		return ask(able[auth.Tokens](s), func(d auth.Tokens) (*auth.Account, error) { return d.Token(ctx, user, token) })
	})
}
