// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/postroad-mail/postroad/core/internal/admin"
	"github.com/postroad-mail/postroad/core/internal/capture"
	"github.com/postroad-mail/postroad/core/internal/clock"
	"github.com/postroad-mail/postroad/core/internal/config"
	"github.com/postroad-mail/postroad/core/internal/kv"
	"github.com/postroad-mail/postroad/core/internal/outhttp"
	"github.com/postroad-mail/postroad/core/internal/pipeline"
	"github.com/postroad-mail/postroad/core/internal/smtpin"
	"github.com/postroad-mail/postroad/core/internal/wasmhost"
	"github.com/postroad-mail/postroad/core/mail"
)

// ReplayOptions say which captured messages run through what.
type ReplayOptions struct {
	Dir      string   // the folder of captures, with one folder for each pipeline; empty: that of Options' data directory
	Pipeline string   // only messages of this pipeline; empty: all
	Against  *Options // another configuration to compare with; nil: with what was decided when the messages came
}

// Replayed is one captured message that ran again.
type Replayed struct {
	ID          string    `json:"id"`
	Pipeline    string    `json:"pipeline"`
	Received    time.Time `json:"received"`
	Sender      string    `json:"sender"`
	Recipients  []string  `json:"recipients"`
	Before      []string  `json:"before"`      // what was decided: when it came, or by the configuration of Options
	After       []string  `json:"after"`       // what is decided now: by the configuration of Options, or of Against
	Differences []string  `json:"differences"` // "- " before what is only in Before, "+ " before what is only in After
}

// Replay runs captured messages through the pipelines of a configuration,
// offline, and calls each with every message, oldest first, until it returns an
// error. Nothing leaves: stores are empty and in memory, buckets are full, time
// stands still at the moment when the message came, and no message or request is
// sent; DNS alone is really asked. A running relay is not disturbed.
func Replay(ctx context.Context, o Options, ro ReplayOptions, each func(*Replayed) error) (err error) {
	first, err := openRehearsal(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, first.close(ctx)) }()
	var second *rehearsal
	if ro.Against != nil {
		if second, err = openRehearsal(ctx, *ro.Against); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, second.close(ctx)) }()
	}
	if ro.Dir == "" {
		ro.Dir = captureDir(first.gen.config.Server.DataDir)
	}
	return eachCapture(&ro, func(m *capture.Message) error {
		r := replayed(m)
		r.Before, r.After = m.Decision, first.run(ctx, m)
		if second != nil {
			r.Before, r.After = r.After, second.run(ctx, m)
		} else if slices.Contains(m.Redacted, capture.RedactSubject) {
			capture.MaskFields(r.After) // as what it is compared with
		}
		r.Differences = differences(r.Before, r.After)
		return each(r)
	})
}

// eachCapture calls f with the messages of all pipelines that were asked for.
func eachCapture(ro *ReplayOptions, f func(*capture.Message) error) error {
	entries, err := os.ReadDir(ro.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("nothing was captured: there is no folder %s; add a capture block to the pipeline: %w", ro.Dir, err)
	}
	if err != nil {
		return err
	}
	found := ro.Pipeline == ""
	for _, e := range entries {
		if !e.IsDir() || ro.Pipeline != "" && e.Name() != ro.Pipeline {
			continue
		}
		found = true
		if err := capture.Each(filepath.Join(ro.Dir, e.Name()), f); err != nil {
			return err
		}
	}
	if !found {
		return fmt.Errorf("nothing was captured of a pipeline %q; the folder %s has no such pipeline: %w", ro.Pipeline, ro.Dir, fs.ErrNotExist)
	}
	return nil
}

func replayed(m *capture.Message) *Replayed {
	r := &Replayed{ID: m.ID, Pipeline: m.Pipeline, Received: m.Received, Sender: m.Sender}
	for _, rc := range m.Recipients {
		r.Recipients = append(r.Recipients, rc.Address)
	}
	return r
}

// rehearsal is a configuration that is run without a relay: its pipelines are
// dry.
type rehearsal struct {
	gen     *generation
	host    *wasmhost.Host
	kv      *kv.Stores
	outside *outhttp.Client // checks requests, and is never told to send one
	clock   *stillClock
}

// stillClock shows the time that it was set to.
type stillClock struct {
	clock.System
	mu  sync.Mutex
	now time.Time
}

// Now implements Clock.
func (c *stillClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *stillClock) set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = t
}

func openRehearsal(ctx context.Context, o Options) (_ *rehearsal, err error) {
	h := &rehearsal{clock: &stillClock{now: time.Now()}}
	r := &Relay{o: o, src: &sources{stages: o.Stages}, clock: h.clock, log: hclog.NewNullLogger(), metrics: admin.NewMetrics()}
	r.buckets = newBucketSet(r.clock, r.log)
	code := r.src.begin()
	c, err := r.load(ctx, code)
	if err != nil {
		return nil, err
	}
	if r.dns, err = r.resolver(c); err != nil {
		return nil, err
	}
	h.outside = newOutside(r.dns, r.log)
	r.outside = h.outside
	h.kv = kv.NewStores(kv.Config{Clock: h.clock})
	defer func() {
		if err != nil {
			err = errors.Join(err, h.close(ctx))
		}
	}()
	if h.host, err = wasmhost.New(ctx, wasmhost.Options{CacheDir: existing(r.cacheDir(c)), Logger: r.log, Clock: h.clock, MaxMemory: c.Server.PluginMemory}); err != nil {
		return nil, err
	}
	p := r.parts()
	p.host, p.dry, p.newBody = h.host, true, func() pipeline.BodyWriter { return &memoryBody{} }
	p.store, p.breakers, p.rollouts, p.poison = h.store, nil, nil, nil
	if h.gen, err = build(ctx, c, code, p); err != nil {
		return nil, &kinded{ErrConfig, err}
	}
	return h, nil
}

// store returns an empty store in memory, for the real one is the relay's.
func (h *rehearsal) store(c *config.Store) wasmhost.Store {
	s, err := h.kv.Open(kv.Options{Name: c.Name, Engine: "memory", TTL: c.TTL, MaxKeys: c.Keys, MaxBytes: c.Size})
	if err != nil { // no two stores of a configuration have one name
		return nil
	}
	return s
}

// existing returns dir if it is there, for a replay makes no data directory.
func existing(dir string) string {
	if _, err := os.Stat(dir); err != nil {
		return ""
	}
	return dir
}

func (h *rehearsal) close(ctx context.Context) error {
	var errs []error
	if h.gen != nil {
		errs = append(errs, h.gen.close())
	}
	if h.host != nil {
		errs = append(errs, h.host.Close(ctx))
	}
	h.outside.Close(ctx)
	h.kv.Close()
	return errors.Join(errs...)
}

// run takes a message through its pipeline and returns what is decided.
func (h *rehearsal) run(ctx context.Context, m *capture.Message) []string {
	pl := h.gen.pipeline(m.Pipeline)
	if pl == nil {
		return []string{fmt.Sprintf("there is no pipeline %q", m.Pipeline)}
	}
	h.clock.set(m.Received)
	client := m.Client
	client.Notes = map[string]string{}
	s := pl.Session(&client)
	defer s.Close()
	if line := greet(ctx, s, &client, h.ehlo(&client)); line != "" {
		return []string{line}
	}
	tx := s.Begin(&mail.Envelope{ID: m.ID, Sender: mail.Address(m.Sender), OriginalSender: mail.Address(m.Sender), Client: client,
		Received: m.Received, DeclaredSize: m.DeclaredSize, SMTPUTF8: m.SMTPUTF8, EightBit: m.EightBit, Params: m.Params,
		Tenant: m.Tenant, Campaign: m.Campaign, Priority: m.Priority, NotBefore: m.NotBefore})
	defer tx.Close()
	return h.transaction(ctx, tx, m)
}

// ehlo returns the list that the client's listener offers it. When that listener
// is gone it is what every listener offers.
func (h *rehearsal) ehlo(c *mail.Client) []string {
	l := h.gen.listeners[c.Listener]
	if l == nil {
		return smtpin.Offered(smtpin.Options{}, c.TLSVersion != "")
	}
	o := smtpin.Options{Withhold: withheld(l), Limits: smtpin.Limits{
		MessageSize: l.Limits.MessageSize, Recipients: l.Limits.Recipients, Hold: l.Extensions.Hold, DeliverBy: l.Extensions.DeliverBy}}
	if l.TLS != nil {
		o.TLS = &tls.Config{} //nolint:gosec // nobody connects with it: it says that STARTTLS is on the list
	}
	return smtpin.Offered(o, c.TLSVersion != "")
}

// greet runs the phases of the session that the client went through. ehlo is
// what EHLO would answer.
func greet(ctx context.Context, s *pipeline.Session, c *mail.Client, ehlo []string) string {
	if r := s.Connect(ctx); r != nil {
		return "connection refused " + r.Line()
	}
	if c.TLSVersion != "" {
		if r := s.TLS(ctx); r != nil {
			return "connection refused after TLS " + r.Line()
		}
	}
	if c.Helo != "" {
		if _, r := s.Helo(ctx, ehlo); r != nil {
			return "greeting refused " + r.Line()
		}
	}
	if c.Authenticated {
		if r := s.Auth(ctx, nil); r != nil {
			return "login refused " + r.Line()
		}
	}
	return ""
}

// transaction runs the phases from mail to message.
func (h *rehearsal) transaction(ctx context.Context, tx *pipeline.Transaction, m *capture.Message) []string {
	if r := tx.Mail(ctx); r != nil {
		return []string{"sender refused " + r.Line()}
	}
	var lines []string
	for _, rc := range m.Recipients {
		a := mail.Address(rc.Address)
		if r := tx.Rcpt(ctx, mail.Recipient{Address: a, Original: a, Params: rc.Params}); r != nil {
			lines = append(lines, fmt.Sprintf("recipient %s refused %s", a, r.Line()))
		}
	}
	if tx.Envelope().Live() == 0 && len(lines) > 0 {
		return lines
	}
	if r := tx.Data(ctx); r != nil {
		return append(lines, "data refused "+r.Line())
	}
	own := ownReceived(&m.Header)
	if r := tx.Headers(ctx, m.Header, own); r != nil {
		return append(lines, "refused "+r.Line())
	}
	if r := body(ctx, tx, m.Body); r != nil {
		return append(lines, "refused "+r.Line())
	}
	res := tx.Message(ctx, m.Header, m.Body, own, h.onMixed(m))
	return append(lines, decision(tx.Envelope(), &m.Header, m.Body, &res)...)
}

// ownReceived returns the id of our Received field, which is the first of a
// captured message.
func ownReceived(h *mail.Header) int {
	if fs := h.Fields(); len(fs) > 0 && fs[0].Is("Received") {
		return fs[0].ID
	}
	return -1
}

// body shows the body to the stages of phase body, as a relay does.
func body(ctx context.Context, tx *pipeline.Transaction, b mail.BytesBody) *mail.Reply {
	const chunk = 32 << 10
	for off := 0; off < len(b) && tx.WantsBody(); off += chunk {
		if r := tx.Body(ctx, b[off:min(off+chunk, len(b))], int64(off)); r != nil {
			return r
		}
	}
	return nil
}

func (h *rehearsal) onMixed(m *capture.Message) pipeline.OnMixed {
	if l := h.gen.listeners[m.Client.Listener]; l != nil {
		return onMixed(l, l.Kind == config.KindLMTP)
	}
	return pipeline.MixedTempfail
}

// memoryBody is a body that a stage writes in a rehearsal.
type memoryBody struct{ bytes.Buffer }

// Finish implements pipeline.BodyWriter.
func (b *memoryBody) Finish() (mail.Body, error) { return mail.BytesBody(b.Bytes()), nil }

// Abort implements pipeline.BodyWriter.
func (*memoryBody) Abort() {}
