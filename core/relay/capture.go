// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"sync"

	"github.com/hashicorp/go-hclog"

	"github.com/postroad-mail/postroad/core/internal/capture"
	"github.com/postroad-mail/postroad/core/internal/config"
	"github.com/postroad-mail/postroad/core/internal/pipeline"
)

// captureSet holds the boxes of captured messages, by pipeline: of the pipelines
// that keep messages, and of those that did and have some left. It outlives
// generations.
type captureSet struct {
	dir   string // "": nothing is captured
	clock Clock
	log   hclog.Logger

	mu     sync.Mutex
	byName map[string]*capture.Box
}

// capturing is one pipeline's box with what a generation puts into it.
type capturing struct {
	box   *capture.Box
	share float64
}

func newCaptureSet(dir string, c Clock, log hclog.Logger) *captureSet {
	return &captureSet{dir: dir, clock: c, log: log, byName: map[string]*capture.Box{}}
}

// captureDir is where the captured messages of a pipeline are kept.
func captureDir(dataDir string) string { return filepath.Join(dataDir, "capture") }

// get returns what a pipeline captures, nil for nothing. A box that is open goes
// on as it is until adopt.
func (s *captureSet) get(c *config.Pipeline) (*capturing, error) {
	if c.Capture == nil || s == nil || s.dir == "" {
		return nil, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byName[c.Name] == nil {
		if err := s.open(c.Name, s.options(c.Name, c.Capture)); err != nil {
			return nil, fmt.Errorf("pipeline %q: %w; give the folder to the user that runs postroad, or take the capture block out", c.Name, err)
		}
	}
	return &capturing{s.byName[c.Name], c.Capture.Share}, nil
}

func (s *captureSet) options(name string, c *config.Capture) capture.Options {
	return capture.Options{Dir: filepath.Join(s.dir, name), Messages: c.Messages, Size: c.Size, Keep: c.Keep, Redact: c.Redact, Clock: s.clock, Logger: s.log}
}

func (s *captureSet) open(name string, o capture.Options) error {
	box, err := capture.Open(o)
	if err == nil {
		s.byName[name] = box
	}
	return err
}

// adopt makes the boxes follow a configuration that is live now. A pipeline that
// captures no more keeps what it has until its time is over, as its last capture
// block said.
func (s *captureSet) adopt(c *config.Config) {
	if s == nil || s.dir == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.openLeft()
	live := map[string]*config.Capture{}
	for i := range c.Pipelines {
		live[c.Pipelines[i].Name] = c.Pipelines[i].Capture
	}
	for name, box := range s.byName {
		var err error
		if o := live[name]; o != nil {
			err = box.Configure(s.options(name, o))
		} else {
			err = box.End()
		}
		if err != nil {
			s.log.Warn("captured messages cannot be looked after", "pipeline", name, "error", err)
		}
	}
}

// openLeft opens the boxes that earlier configurations have left behind.
func (s *captureSet) openLeft() {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return // there is none
	}
	for _, e := range entries {
		dir := filepath.Join(s.dir, e.Name())
		if !e.IsDir() || s.byName[e.Name()] != nil {
			continue
		}
		o := capture.Options{Dir: dir, Messages: math.MaxInt, Size: math.MaxInt64, Keep: capture.Kept(dir), Clock: s.clock, Logger: s.log}
		if err := s.open(e.Name(), o); err != nil {
			s.log.Warn("captured messages of an earlier configuration cannot be looked after", "pipeline", e.Name(), "error", err)
		}
	}
}

// close ends the removal of old messages.
func (s *captureSet) close() {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, box := range s.byName {
		box.Close()
	}
}

// capture keeps a message as it came, with what was decided. It is a help for
// people: when it fails the message goes on.
func (t *transaction) capture(msg *content, res *pipeline.Result) {
	k := t.g.captures[t.l.Pipeline]
	if k == nil || !pipeline.InShare(t.tx.Envelope().ID, k.share) {
		return
	}
	err := k.box.Add(t.record(msg, res), &msg.header, msg.body)
	if err != nil && !errors.Is(err, capture.ErrTooLarge) {
		t.r.log.Warn("message could not be captured", "id", t.tx.Envelope().ID, "error", err)
		t.r.metrics.Fault("capture")
	}
}

func (t *transaction) record(msg *content, res *pipeline.Result) *capture.Record {
	env := t.tx.Envelope()
	r := &capture.Record{
		ID: env.ID, Pipeline: t.l.Pipeline, Received: env.Received, Client: *t.client,
		Sender: string(env.OriginalSender), Params: env.Params, DeclaredSize: env.DeclaredSize,
		SMTPUTF8: env.SMTPUTF8, EightBit: env.EightBit, Trusted: t.trusted, Tenant: t.tenant, Campaign: t.campaign, Priority: t.priority, NotBefore: t.release, Stages: t.tx.Stages(),
		Decision: decision(env, &msg.header, msg.body, res),
	}
	for i := range env.Recipients {
		if rc := &env.Recipients[i]; rc.Original != "" {
			r.Recipients = append(r.Recipients, capture.Recipient{Address: string(rc.Original), Params: rc.Params})
		}
	}
	return r
}
