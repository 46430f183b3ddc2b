// SPDX-License-Identifier: Apache-2.0

// Package conformance holds this relay's plugin host against the conformance kit
// of the ABI, sdk/kit: the guest runs in wasmhost, its hooks are called by
// pipeline, as in the relay.
package conformance

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/postroad-mail/postroad/core/internal/clock"
	"github.com/postroad-mail/postroad/core/internal/pipeline"
	"github.com/postroad-mail/postroad/core/internal/wasmhost"
	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/sdk/kit"
)

// host is the relay's host as the kit calls it.
type host struct {
	module *wasmhost.Module
	log    *log
	clock  *clock.Fake
	fault  string // one of faults; empty: none

	isolation map[string]string // in place of that which a case needs
}

func start() time.Time { return time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC) }

// newHost loads the kit's guest. The function that it returns frees all.
func newHost(ctx context.Context, fault string) (*host, func(), error) {
	h := &host{log: &log{}, clock: clock.NewFake(start()), fault: fault}
	logger := hclog.New(&hclog.LoggerOptions{Output: h.log, Level: hclog.Info})
	w, err := wasmhost.New(ctx, wasmhost.Options{Logger: logger, Clock: ticking{h}, Version: "kit"})
	if err != nil {
		return nil, nil, err
	}
	closeHost := func() { _ = w.Close(ctx) }
	if h.module, err = w.Load(ctx, "kit", kit.Guest); err != nil {
		closeHost()
		return nil, nil, err
	}
	return h, func() { _ = h.module.Close(); closeHost() }, nil
}

// Open implements kit.Host.
func (h *host) Open(s kit.Setup) (kit.Room, error) {
	r := &room{host: h, world: newWorld(h.fault), from: h.log.len(), state: map[string]string{}}
	for range s.Instances {
		stage, err := h.module.NewStage(context.Background(), h.options(s, r.world))
		if err != nil {
			r.Close()
			return nil, err
		}
		r.stages = append(r.stages, stage)
	}
	r.pipe = pipeline.New(pipeline.Options{
		Name: "kit", NewBody: func() pipeline.BodyWriter { return &memBody{} }, Steps: []pipeline.Step{{Name: "kit", Stage: r}}, Observer: r,
	})
	return r, nil
}

func (h *host) options(s kit.Setup, w *world) wasmhost.StageOptions {
	if other := h.isolation[s.Isolation]; other != "" {
		s.Isolation = other
	}
	return wasmhost.StageOptions{
		Name: "kit", Config: s.Config, Grant: h.grant(s.Without), Limits: wasmhost.Limits{Isolation: s.Isolation, Instances: 4},
		Stores: map[string]wasmhost.Store{"kept": w.store}, Buckets: map[string]wasmhost.Bucket{"slow": w.bucket},
		Secrets: map[string]string{"key": "hush"}, DNS: w, HTTP: w, Metrics: w, Emit: w.quota,
	}
}

// grant is everything but what a case leaves out.
func (h *host) grant(without []string) wasmhost.Grant {
	if h.fault == "a grant is not looked at" {
		without = nil
	}
	words := func(list string, all ...string) []string {
		return slices.DeleteFunc(all, func(w string) bool { return slices.Contains(without, list+" "+w) })
	}
	names := func(list string, all ...string) []string {
		if slices.Contains(without, list) {
			return nil
		}
		return all
	}
	return wasmhost.Grant{
		Read: words("read", "envelope", "headers", "body", "auth"), Write: words("write", "headers", "body", "recipients", "sender", "queue", "ehlo"),
		Routes: names("routes", "bulk"), NextHops: names("next_hops", "*.example.test:25"), Stores: names("kv", "kept"), Buckets: names("buckets", "slow"),
		HTTP: names("http", "api.example.test"), Secrets: names("secrets", "key", "unset"),
		DNS: !slices.Contains(without, "dns"), Emit: !slices.Contains(without, "emit"),
	}
}

// ticking is the host's clock.
type ticking struct{ h *host }

// Now implements wasmhost.Clock.
func (t ticking) Now() time.Time {
	now := t.h.clock.Now()
	if t.h.fault == "the clock counts seconds" {
		return time.UnixMilli(now.Unix())
	}
	return now
}

// memBody is a body in memory.
type memBody struct{ strings.Builder }

// Finish implements pipeline.BodyWriter.
func (b *memBody) Finish() (mail.Body, error) { return mail.BytesBody(b.String()), nil }

// Abort implements pipeline.BodyWriter.
func (b *memBody) Abort() {}
