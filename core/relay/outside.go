// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"context"
	"errors"

	"github.com/hashicorp/go-hclog"

	"github.com/postroad-mail/postroad/core/internal/outhttp"
	"github.com/postroad-mail/postroad/core/internal/resolver"
	"github.com/postroad-mail/postroad/core/internal/wasmhost"
	"github.com/postroad-mail/postroad/sdk/abi"
)

// newOutside returns the client that makes the HTTP requests of plugins. It
// finds hosts as delivery does.
func newOutside(dns Resolver, log hclog.Logger) *outhttp.Client {
	return outhttp.New(outhttp.Options{
		Resolver: dns, IsPublic: resolver.IsPublic, UserAgent: "Postroad", Logger: log.Named("http"),
	})
}

// stageDNS is the wasmhost.Resolver of stages: the relay's own, or an embedder's
// as far as that goes.
func stageDNS(r Resolver) wasmhost.Resolver {
	if d, ok := r.(dns); ok {
		return pluginDNS{d.Resolver}
	}
	return embeddedDNS{r}
}

// pluginDNS asks DNS servers.
type pluginDNS struct{ r *resolver.Resolver }

// Lookup implements wasmhost.Resolver.
func (d pluginDNS) Lookup(ctx context.Context, name string, rrtype uint16) (wasmhost.Answer, error) {
	a, err := d.r.Lookup(ctx, name, rrtype)
	if err != nil {
		return wasmhost.Answer{}, err
	}
	out := wasmhost.Answer{Authenticated: a.Authenticated}
	for _, rec := range a.Records {
		out.Records = append(out.Records, wasmhost.Record(rec))
	}
	return out, nil
}

// embeddedDNS asks an embedder's Resolver, which knows addresses and mail
// exchangers. Its records have no time to live.
type embeddedDNS struct{ r Resolver }

// Numbers of RR types (RFC 1035 §3.2.2, RFC 3596 §2.1).
const (
	typeA    = 1
	typePTR  = 12
	typeMX   = 15
	typeAAAA = 28
)

// Lookup implements wasmhost.Resolver.
func (d embeddedDNS) Lookup(ctx context.Context, name string, rrtype uint16) (wasmhost.Answer, error) {
	switch rrtype {
	case typeA, typeAAAA:
		return d.addresses(ctx, name, rrtype == typeA)
	case typeMX:
		return d.exchangers(ctx, name)
	}
	return wasmhost.Answer{}, abi.ErrUnsupported
}

func (d embeddedDNS) addresses(ctx context.Context, name string, v4 bool) (wasmhost.Answer, error) {
	ips, err := d.r.LookupIP(ctx, name)
	var a wasmhost.Answer
	for _, ip := range ips {
		if ip.Unmap().Is4() == v4 {
			a.Records = append(a.Records, wasmhost.Record{Data: ip.Unmap().AppendTo(nil)})
		}
	}
	return found(a, err)
}

func (d embeddedDNS) exchangers(ctx context.Context, name string) (wasmhost.Answer, error) {
	mxs, err := d.r.LookupMX(ctx, name)
	var a wasmhost.Answer
	for _, mx := range mxs {
		a.Records = append(a.Records, wasmhost.Record{Data: []byte(mx.Host), Preference: mx.Pref})
	}
	return found(a, err)
}

// found tells a certain "nothing" from a fault.
func found(a wasmhost.Answer, err error) (wasmhost.Answer, error) {
	switch {
	case errors.Is(err, ErrNoDomain), errors.Is(err, ErrNullMX), err == nil && len(a.Records) == 0:
		return wasmhost.Answer{}, wasmhost.ErrNoRecords
	}
	return a, err
}

// stageHTTP is the wasmhost.HTTPClient of stages.
type stageHTTP struct {
	c   *outhttp.Client
	log hclog.Logger
}

// Do implements wasmhost.HTTPClient.
func (h stageHTTP) Do(ctx context.Context, r wasmhost.HTTPRequest) (*wasmhost.HTTPResponse, error) {
	resp, err := h.c.Do(ctx, outhttp.Request(r))
	if err != nil {
		return nil, err
	}
	return &wasmhost.HTTPResponse{Status: resp.Status, Header: resp.Header, Body: resp.Body}, nil
}

// Check implements wasmhost.HTTPQueue.
func (h stageHTTP) Check(r wasmhost.HTTPRequest) error { return h.c.Check(outhttp.Request(r)) }

// Queue implements wasmhost.HTTPQueue. The commit cannot fail any more: a queue
// that has filled up since Check loses the request, and says so.
func (h stageHTTP) Queue(r wasmhost.HTTPRequest) {
	if err := h.c.Queue(outhttp.Request(r)); err != nil {
		h.log.Warn("request of a plugin is not sent", "stage", r.Stage, "error", err)
	}
}
