// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"

	"github.com/postroad-mail/postroad/core/internal/capture"
	"github.com/postroad-mail/postroad/core/internal/config"
	"github.com/postroad-mail/postroad/core/internal/pipeline"
)

// captureSet holds the boxes of the pipelines that keep messages, by name. A
// reload that changes nothing of a box keeps it.
type captureSet struct {
	dir   string // "": nothing is captured
	clock Clock

	mu     sync.Mutex
	byName map[string]*capturing
}

// capturing is one pipeline's box with what it takes.
type capturing struct {
	box *capture.Box
	o   config.Capture
}

func newCaptureSet(dir string, c Clock) *captureSet {
	return &captureSet{dir: dir, clock: c, byName: map[string]*capturing{}}
}

// captureDir is where the captured messages of a pipeline are kept.
func captureDir(dataDir string) string { return filepath.Join(dataDir, "capture") }

// get returns what a pipeline captures, nil for nothing.
func (s *captureSet) get(c *config.Pipeline) (*capturing, error) {
	if c.Capture == nil || s == nil || s.dir == "" {
		return nil, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if k := s.byName[c.Name]; k != nil && sameCapture(&k.o, c.Capture) {
		return k, nil
	}
	box, err := capture.Open(capture.Options{Dir: filepath.Join(s.dir, c.Name), Messages: c.Capture.Messages, Size: c.Capture.Size,
		Keep: c.Capture.Keep, Redact: c.Capture.Redact, Clock: s.clock})
	if err != nil {
		return nil, fmt.Errorf("pipeline %q: %w; give the folder to the user that runs postroad, or take the capture block out", c.Name, err)
	}
	k := &capturing{box, *c.Capture}
	s.byName[c.Name] = k
	return k, nil
}

func sameCapture(a, b *config.Capture) bool {
	return a.Share == b.Share && a.Messages == b.Messages && a.Size == b.Size && a.Keep == b.Keep && slices.Equal(a.Redact, b.Redact)
}

// capture keeps a message as it came, with what was decided. It is a help for
// people: when it fails the message goes on.
func (t *transaction) capture(msg *content, res *pipeline.Result) {
	k := t.g.captures[t.l.Pipeline]
	if k == nil || !pipeline.InShare(t.tx.Envelope().ID, k.o.Share) {
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
		SMTPUTF8: env.SMTPUTF8, EightBit: env.EightBit, Trusted: t.trusted, Stages: t.tx.Stages(),
		Decision: decision(env, &msg.header, msg.body, res),
	}
	for i := range env.Recipients {
		if rc := &env.Recipients[i]; rc.Original != "" {
			r.Recipients = append(r.Recipients, capture.Recipient{Address: string(rc.Original), Params: rc.Params})
		}
	}
	return r
}
