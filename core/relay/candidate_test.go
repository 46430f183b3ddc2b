// SPDX-License-Identifier: Apache-2.0

package relay_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/postroad-mail/postroad/core/internal/testkit"
	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/core/relay"
)

// candidates is a relay whose one stage has a candidate. Mail goes to a sink,
// where it shows who tagged it.
type candidates struct {
	t    *testing.T
	o    relay.Options
	r    *relay.Relay
	sink *testkit.Sink
	stop func()

	n, arrived int
}

func withCandidate(t *testing.T, dir, block string, next relay.Stage) *candidates {
	t.Helper()
	c := &candidates{t: t, sink: testkit.NewSink(t, testkit.SinkOptions{})}
	c.o = relay.Options{
		ConfigFile: filepath.Join(dir, "pipeline.hcl"), DataDir: filepath.Join(dir, "data"), LogOutput: &strings.Builder{},
		Config: []byte(`
admin { address = "" }
listener "smtp" "in" {
  address  = "127.0.0.1:0"
  pipeline = pipeline.in
}
plugin "tag" { source = "native:tag" }
plugin "next" { source = "native:next" }
pipeline "in" {
  stage "tag" {
    plugin = plugin.tag
    candidate {
      plugin = plugin.next
      ` + block + `
    }
  }
}
routing {
  rule { route = route.sink }
}
route "sink" {
  smarthost { hosts = ["` + c.sink.Addr().String() + `"] }
}`),
		Stages: map[string]relay.NewStage{
			"tag":  func([]byte) (relay.Stage, error) { return tagger{Tag: "live"}, nil },
			"next": func([]byte) (relay.Stage, error) { return next, nil },
		},
	}
	c.open()
	return c
}

func (c *candidates) open() {
	c.t.Helper()
	r, err := relay.Open(context.Background(), c.o)
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	c.r = r
	c.stop = sync.OnceFunc(func() {
		cancel()
		<-ended
	})
	c.t.Cleanup(c.stop)
}

// send sends a message and returns who tagged it, or the refusal.
func (c *candidates) send(subject string) string {
	c.t.Helper()
	c.n++
	id, err := c.r.Submit(context.Background(), relay.Submission{Sender: "anna@example.org", Recipients: []string{"bob@example.net"},
		Content: strings.NewReader(fmt.Sprintf("Subject: %s %d\n\nHello\n", subject, c.n))})
	if err != nil {
		return err.Error()
	}
	c.arrived++
	got, err := c.sink.Wait(context.Background(), c.arrived)
	if err != nil {
		c.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(got[c.arrived-1].Content), "X-Tag: ")
	tag, _, _ := strings.Cut(rest, "\r\n")
	if id == "" {
		c.t.Error("no id")
	}
	return tag
}

func (c *candidates) state() relay.StageState {
	c.t.Helper()
	for _, s := range c.r.Stages() {
		if s.Stage == "tag" {
			return s
		}
	}
	c.t.Fatal("no stage")
	return relay.StageState{}
}

func (c *candidates) do(f func(string) (relay.StageState, error)) relay.StageState {
	c.t.Helper()
	s, err := f("in/tag")
	if err != nil {
		c.t.Fatal(err)
	}
	return s
}

func TestShadowPromotedAndRolledBack(t *testing.T) {
	dir := t.TempDir()
	c := withCandidate(t, dir, `mode = "shadow"`, tagger{Tag: "next", Refuse: "casino"})
	if got := c.send("hello"); got != "live" {
		t.Errorf("beside a shadow: %s", got)
	}
	if got := c.send("casino"); got != "live" {
		t.Errorf("a shadow refused: %s", got)
	}
	if s := c.state(); s.State != "live" || s.Calls != 2 || *s.Differed != 2 || s.Failed != 0 {
		t.Errorf("state %+v", s)
	}
	ds, err := c.r.StageDifferences("tag")
	if err != nil || len(ds) != 2 {
		t.Fatalf("%v, %v", ds, err)
	}
	if strings.Join(ds[0].Edits, "; ") != "only live: hdr_add X-Tag live; only candidate: hdr_add X-Tag next" || ds[1].Candidate.Verdict != "reject" || ds[1].Candidate.Reply != "550 5.7.1 not here" {
		t.Errorf("differences %+v", ds)
	}

	if s := c.do(c.r.PromoteStage); s.State != "promoted" {
		t.Errorf("state %+v", s)
	}
	if got := c.send("hello"); got != "next" {
		t.Errorf("promoted: %s", got)
	}
	c.stop()
	c.open()
	if got := c.send("hello"); got != "next" || c.state().State != "promoted" {
		t.Errorf("promoted, after a restart: %s", got)
	}
	c.do(c.r.RollBackStage)
	if got := c.send("hello"); got != "live" || c.state().Calls != 0 {
		t.Errorf("rolled back: %s, %+v", got, c.state())
	}
	c.do(c.r.ResetStage)
	if got := c.send("hello"); got != "live" || c.state().Calls != 1 {
		t.Errorf("reset: %s, %+v", got, c.state())
	}
}

// At level info the log has no addresses and no content (security.md).
func TestWhatACandidateDidOtherwiseIsNotInTheLog(t *testing.T) {
	c := withCandidate(t, t.TempDir(), `mode = "shadow"`, tagger{Tag: "next"})
	c.send("hello")
	c.stop()
	if log := c.o.LogOutput.(*strings.Builder).String(); !strings.Contains(log, "candidate differs") || strings.Contains(log, "X-Tag") {
		t.Errorf("log %s", log)
	}
}

// broken is a candidate that fails.
type broken struct{}

func (broken) Message(context.Context, relay.Message) (mail.Verdict, error) { panic("a bug") }

func TestCanaryThatFailsLosesNothing(t *testing.T) {
	c := withCandidate(t, t.TempDir(), "mode = \"canary\"\n share = \"100%\"", broken{})
	if got := c.send("hello"); got != "live" {
		t.Errorf("behind a failing canary: %s", got)
	}
	if s := c.state(); s.Calls != 1 || s.Failed != 1 {
		t.Errorf("state %+v", s)
	}
}

func TestCanaryTakesAll(t *testing.T) {
	c := withCandidate(t, t.TempDir(), "mode = \"canary\"\n share = \"100%\"", tagger{Tag: "next"})
	if got := c.send("hello"); got != "next" {
		t.Errorf("canary with all mail: %s", got)
	}
}
