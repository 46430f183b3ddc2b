// SPDX-License-Identifier: Apache-2.0

package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
)

// How often the provider is asked for its keys.
const (
	apart   = time.Minute      // at most once in it, whatever keys tokens name
	refresh = 15 * time.Minute // after which it is asked again: a key that it withdraws is good for no longer
	keep    = 24 * time.Hour   // for which keys are good while it does not answer
	maxKeys = 100
)

// metadata is what the provider says of itself.
type metadata struct {
	keys          []jose.JSONWebKey // public ones, for signatures
	introspection string            // URL; empty: none
	at            time.Time         // when it was asked for
}

// provider returns what the provider says. It is asked if it has not been, if it
// was asked long ago, and if what it said then does not do: at most once in a
// time, and by one request for all sessions.
func (d *Directory) provider(ctx context.Context, does func(*metadata) bool) (*metadata, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.o.Now()
	good := d.usable(now) && does(d.last)
	if !good || now.Sub(d.last.at) >= refresh {
		d.ask(now)
	}
	if asking := d.asking; !good && asking != nil {
		d.mu.Unlock()
		select {
		case <-asking:
		case <-ctx.Done():
		}
		d.mu.Lock()
	}
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case d.usable(now) && (does(d.last) || d.fault == nil):
		return d.last, nil // a key that is not among those of now is nobody's
	case d.fault != nil:
		return nil, d.fault
	}
	return nil, errClosed
}

var errClosed = errors.New("oidc: the directory is closed")

// usable reports whether what the provider said last can still be gone by.
func (d *Directory) usable(now time.Time) bool { return d.last != nil && now.Sub(d.last.at) < keep }

// ask has the provider asked in the background, if it was not asked just now.
// d.mu is held.
func (d *Directory) ask(now time.Time) {
	if d.asking != nil || !d.tried.IsZero() && now.Sub(d.tried) < apart || d.ctx.Err() != nil {
		return
	}
	done := make(chan struct{})
	d.asking, d.tried = done, now
	d.work.Go(func() {
		m, err := d.discover()
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.fault = err; err == nil {
			m.at, d.last = now, m
			d.o.Known.put(d.o.Issuer, m)
		}
		d.asking = nil
		close(done)
	})
}

// discover asks for the provider's metadata (OpenID Connect Discovery §4, RFC
// 8414), then for its keys (RFC 7517 §5).
func (d *Directory) discover() (*metadata, error) {
	ctx := oidc.ClientContext(d.ctx, d.http)
	p, err := oidc.NewProvider(ctx, d.o.Issuer)
	if err != nil {
		return nil, fmt.Errorf("oidc: discover %s: %w", d.o.Issuer, err)
	}
	var more struct {
		Keys          string `json:"jwks_uri"`
		Introspection string `json:"introspection_endpoint"`
	}
	if err := p.Claims(&more); err != nil {
		return nil, fmt.Errorf("oidc: discover %s: %w", d.o.Issuer, err)
	}
	body, err := d.get(ctx, more.Keys)
	if err != nil {
		return nil, err
	}
	keys, err := parseKeys(body)
	return &metadata{keys: keys, introspection: more.Introspection}, err
}

// parseKeys returns the keys of a set that can have signed a token. Others are
// passed over (RFC 7517 §5).
func parseKeys(b []byte) ([]jose.JSONWebKey, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(b, &set); err != nil {
		return nil, fmt.Errorf("oidc: the provider's keys are no JWK set: %w", err)
	}
	var keys []jose.JSONWebKey
	for _, raw := range set.Keys[:min(len(set.Keys), maxKeys)] {
		var k jose.JSONWebKey
		if k.UnmarshalJSON(raw) == nil && k.IsPublic() && (k.Use == "" || k.Use == "sig") {
			keys = append(keys, k)
		}
	}
	return keys, nil
}
