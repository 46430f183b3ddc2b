// SPDX-License-Identifier: Apache-2.0

package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
)

// algorithms are how a token may be signed: with a key of which the provider
// shows the public half. Never "none", and never HS256 and its like, for which a
// public key would be the secret.
func algorithms() []jose.SignatureAlgorithm {
	return []jose.SignatureAlgorithm{
		jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
	}
}

// read checks the signature of a JWT and returns its claims.
func (d *Directory) read(ctx context.Context, token string) (claims, error) {
	jws, err := jose.ParseSignedCompact(token, algorithms())
	if err != nil || len(jws.Signatures) != 1 {
		return nil, denied("the token is no signed JWT")
	}
	header := jws.Signatures[0].Header
	if !bearerType(header) {
		return nil, denied("the JWT is of another type")
	}
	m, err := d.provider(ctx, func(m *metadata) bool { return len(m.named(header.KeyID)) > 0 })
	if err != nil {
		return nil, err
	}
	v := oidc.NewVerifier(d.o.Issuer, signed{jws, m.named(header.KeyID)}, &oidc.Config{
		SupportedSigningAlgs: names(algorithms()), SkipClientIDCheck: true, SkipExpiryCheck: true, // see check
	})
	if _, err := v.Verify(ctx, token); err != nil {
		return nil, denied("%s", err)
	}
	return parseClaims(jws.UnsafePayloadWithoutVerification()) // verified by now
}

// bearerType reports whether a JWT may be one for access (RFC 9068 §4): not one
// that says a logout, or a proof.
func bearerType(h jose.Header) bool {
	typ, ok := h.ExtraHeaders["typ"].(string)
	typ = strings.TrimPrefix(strings.ToLower(typ), "application/")
	return h.ExtraHeaders["typ"] == nil || ok && (typ == "jwt" || typ == "at+jwt")
}

func names(algs []jose.SignatureAlgorithm) []string {
	var all []string
	for _, a := range algs {
		all = append(all, string(a))
	}
	return all
}

// signed is a parsed token with the keys that may have signed it.
type signed struct {
	jws  *jose.JSONWebSignature
	keys []jose.JSONWebKey
}

var errSignature = errors.New("no key of the provider has signed this")

// VerifySignature implements oidc.KeySet.
func (s signed) VerifySignature(context.Context, string) ([]byte, error) {
	alg := s.jws.Signatures[0].Header.Algorithm
	for i := range s.keys {
		if k := &s.keys[i]; k.Algorithm == "" || k.Algorithm == alg {
			if payload, err := s.jws.Verify(k); err == nil {
				return payload, nil
			}
		}
	}
	return nil, errSignature
}

// introspect asks the provider about a token (RFC 7662 §2).
func (d *Directory) introspect(ctx context.Context, token string) (claims, error) {
	m, err := d.provider(ctx, func(*metadata) bool { return true })
	if err != nil {
		return nil, err
	}
	if m.introspection == "" {
		return nil, fmt.Errorf("oidc: %s names no introspection_endpoint", d.o.Issuer)
	}
	body, err := d.post(ctx, m.introspection, url.Values{"token": {token}, "token_type_hint": {"access_token"}})
	if err != nil {
		return nil, err
	}
	var c claims
	if err := json.Unmarshal(body, &c); err != nil {
		return nil, fmt.Errorf("oidc: the answer of %s is no object", m.introspection)
	}
	if active := c["active"]; string(active) != "true" {
		return nil, denied("the provider says that the token is not active")
	}
	return d.completed(c), nil
}

// completed adds what an answer may leave out (RFC 7662 §2.2): it is the issuer's,
// who says that the token has not expired.
func (d *Directory) completed(c claims) claims {
	if c["iss"] == nil {
		c["iss"], _ = json.Marshal(d.o.Issuer)
	}
	if c["exp"] == nil {
		c["exp"], _ = json.Marshal(d.o.Now().Unix() + 1)
	}
	return c
}

// post sends a form with the credentials (RFC 6749 §2.3.1).
func (d *Directory) post(ctx context.Context, to string, form url.Values) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	req.SetBasicAuth(url.QueryEscape(d.o.Introspect.ID), url.QueryEscape(d.o.Introspect.Secret))
	return d.do(req)
}

// named returns the keys that may have signed a token with such a kid: all of them
// if it has none.
func (m *metadata) named(kid string) []jose.JSONWebKey {
	if kid == "" {
		return m.keys
	}
	return slices.DeleteFunc(slices.Clone(m.keys), func(k jose.JSONWebKey) bool { return k.KeyID != kid })
}
