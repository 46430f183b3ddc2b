// SPDX-License-Identifier: Apache-2.0

package oidc

import (
	"encoding/json"
	"math"
	"strings"
	"time"
)

// claims are what a token says. Their names are compared exactly: decoded into a
// struct, a claim "Aud" that a user may have set would count as "aud".
type claims map[string]json.RawMessage

func parseClaims(b []byte) (claims, error) {
	var c claims
	if err := json.Unmarshal(b, &c); err != nil || c == nil {
		return nil, denied("the claims are no object")
	}
	return c, nil
}

// text returns a claim that is a text, empty for any other.
func (c claims) text(name string) string {
	var s string
	if json.Unmarshal(c[name], &s) != nil {
		return ""
	}
	return s
}

// list returns a claim that is a text or a list of texts.
func (c claims) list(name string) []string {
	if s := c.text(name); s != "" {
		return []string{s}
	}
	var all []string
	if json.Unmarshal(c[name], &all) != nil {
		return nil
	}
	return all
}

// truth reports whether a claim is true; some providers write it as a text.
func (c claims) truth(name string) bool {
	var b bool
	return json.Unmarshal(c[name], &b) == nil && b || c.text(name) == "true"
}

// client is to whom the token was issued (OpenID Connect Core §2, RFC 9068 §2.2).
func (c claims) client() string {
	if azp := c.text("azp"); azp != "" {
		return azp
	}
	return c.text("client_id")
}

// scopes are those of RFC 9068 §2.2.3, or of "scp", which some providers write.
func (c claims) scopes() []string {
	var all []string
	for _, s := range append(c.list("scope"), c.list("scp")...) {
		all = append(all, strings.Fields(s)...)
	}
	return all
}

// timely checks exp, which must be there, nbf and iat (RFC 7519 §4.1.4 to §4.1.6).
func (c claims) timely(now time.Time, skew time.Duration) error {
	exp, ok := c.time("exp")
	if !ok || !now.Before(exp.Add(skew)) {
		return denied("the token has expired")
	}
	for _, name := range []string{"nbf", "iat"} {
		t, ok := c.time(name)
		if c[name] != nil && (!ok || now.Add(skew).Before(t)) {
			return denied("the token is not valid yet")
		}
	}
	return nil
}

// time returns a claim in seconds since 1970, up to the year 9999.
func (c claims) time(name string) (time.Time, bool) {
	var s *float64
	if json.Unmarshal(c[name], &s) != nil || s == nil || *s < 0 || *s > 253402300799 {
		return time.Time{}, false
	}
	whole, part := math.Modf(*s)
	return time.Unix(int64(whole), int64(part*1e9)), true
}
