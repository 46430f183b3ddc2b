// SPDX-License-Identifier: Apache-2.0

package relay_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postroad-mail/postroad/core/internal/capture"
	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/core/relay"
)

// tagger is a stage in Go that adds a field, and refuses what says so.
type tagger struct{ Tag, Refuse string }

func (s tagger) Message(_ context.Context, m relay.Message) (mail.Verdict, error) {
	if v, _ := m.Header().Get("Subject"); s.Refuse != "" && strings.Contains(v, s.Refuse) {
		return mail.Reject, m.SetReply(550, mail.Enhanced{5, 7, 1}, "not here")
	}
	_, err := m.AddHeader(-1, "X-Tag", s.Tag)
	return mail.Continue, err
}

func capturing(t *testing.T, dir, extra string, s tagger) relay.Options {
	t.Helper()
	return relay.Options{
		ConfigFile: filepath.Join(dir, "pipeline.hcl"), DataDir: filepath.Join(dir, "data"), LogOutput: &strings.Builder{},
		Config: []byte(`
admin { address = "" }
listener "smtp" "in" {
  address  = "127.0.0.1:0"
  pipeline = pipeline.in
}
plugin "tag" { source = "native:tag" }
pipeline "in" {
  ` + extra + `
  stage "tag" { plugin = plugin.tag }
}
routing {
  rule { route = route.nowhere }
}
route "nowhere" {
  discard {}
}`),
		Stages: map[string]relay.NewStage{"tag": func([]byte) (relay.Stage, error) { return s, nil }},
	}
}

func submit(t *testing.T, o relay.Options, subjects ...string) {
	t.Helper()
	r, err := relay.Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for _, subject := range subjects {
		content := fmt.Sprintf("Subject: %s\nFrom: Anna <anna@example.org>\n\nHello\n", subject)
		_, err := r.Submit(context.Background(), relay.Submission{Sender: "anna@example.org", Recipients: []string{"bob@example.net"}, Content: strings.NewReader(content)})
		var refused *mail.Reply
		if err != nil && !errors.As(err, &refused) {
			t.Fatal(err)
		}
	}
}

func replay(t *testing.T, o relay.Options, ro relay.ReplayOptions) []*relay.Replayed {
	t.Helper()
	var out []*relay.Replayed
	if err := relay.Replay(context.Background(), o, ro, func(r *relay.Replayed) error { out = append(out, r); return nil }); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestReplayListsWhatDiffers(t *testing.T) {
	dir := t.TempDir()
	now := capturing(t, dir, `capture { share = "100%" }`, tagger{Tag: "1", Refuse: "spam"})
	submit(t, now, "hello", "this is spam", "casino")

	for _, r := range replay(t, now, relay.ReplayOptions{}) {
		if len(r.Differences) > 0 {
			t.Errorf("%s: the same chain differs: %q", r.ID, r.Differences)
		}
	}

	next := capturing(t, dir, `capture { share = "100%" }`, tagger{Tag: "2", Refuse: "casino"})
	var got []string
	for _, r := range replay(t, next, relay.ReplayOptions{Pipeline: "in"}) {
		got = append(got, strings.Join(r.Differences, "; "))
	}
	want := []string{
		"- header + X-Tag: 1; + header + X-Tag: 2",
		"- refused 550 5.7.1 not here; + recipient bob@example.net; + header + X-Tag: 2",
		"- recipient bob@example.net; - header + X-Tag: 1; + refused 550 5.7.1 not here",
	}
	slices.Sort(got) // ids of one millisecond come in any order
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("differences\n%s", strings.Join(got, "\n"))
	}
	err := relay.Replay(context.Background(), next, relay.ReplayOptions{Pipeline: "other"}, func(*relay.Replayed) error { return nil })
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), `"other"`) {
		t.Errorf("another pipeline: %v", err)
	}
}

func TestReplayAgainstAnotherConfiguration(t *testing.T) {
	dir := t.TempDir()
	a := capturing(t, dir, `capture {
    share  = "100%"
    redact = ["body", "addresses", "client"]
  }`, tagger{Tag: "1"})
	submit(t, a, "hello")
	b := capturing(t, dir, "", tagger{Tag: "2"})
	rs := replay(t, a, relay.ReplayOptions{Against: &b})
	if len(rs) != 1 || !slices.Equal(rs[0].Differences, []string{"- header + X-Tag: 1", "+ header + X-Tag: 2"}) {
		t.Fatalf("%+v", rs)
	}
	if strings.Contains(rs[0].Sender, "anna") {
		t.Errorf("sender %s is not hidden", rs[0].Sender)
	}
}

// marker is a stage in Go that marks the subject.
type marker struct{}

func (marker) Message(_ context.Context, m relay.Message) (mail.Verdict, error) {
	for _, f := range m.Header().Fields() {
		if f.Is("Subject") {
			return mail.Continue, m.SetHeader(f.ID, "[mark] "+f.Value())
		}
	}
	return mail.Continue, nil
}

func TestSubjectWasReadableInWhatWasDecided(t *testing.T) {
	dir := t.TempDir()
	o := capturing(t, dir, `capture {
    share  = "100%"
    redact = ["subject"]
  }`, tagger{})
	o.Stages["tag"] = func([]byte) (relay.Stage, error) { return marker{}, nil }
	submit(t, o, "Merger with Initech")
	files, err := filepath.Glob(filepath.Join(dir, "data", "capture", "in", "*.capture"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %v", files, err)
	}
	if raw, err := os.ReadFile(files[0]); err != nil || strings.Contains(string(raw), "Initech") {
		t.Errorf("%v\n%s", err, raw)
	}
	for _, r := range replay(t, o, relay.ReplayOptions{}) {
		if len(r.After) < 3 || len(r.Differences) > 0 {
			t.Errorf("the same chain differs: %q, %q", r.After, r.Differences)
		}
	}
}

// guestCapture is a configuration whose stage is a WebAssembly guest, with one
// message that its pipeline captured.
func guestCapture(t *testing.T) relay.Options {
	t.Helper()
	guest, err := filepath.Abs("testdata/later.wasm")
	if err != nil {
		t.Fatal(err)
	}
	o := capturing(t, t.TempDir(), `capture { share = "100%" }`, tagger{})
	o.Stages = nil
	o.Config = []byte(strings.Replace(string(o.Config), `plugin "tag" { source = "native:tag" }`, fmt.Sprintf(`
plugin "tag" {
  source = %q
  grant {
    dns   = true
    http  = ["hook.test"]
    write = ["ehlo"]
  }
}`, guest), 1))
	box, err := capture.Open(capture.Options{Dir: filepath.Join(o.DataDir, "capture", "in")})
	if err != nil {
		t.Fatal(err)
	}
	h := mail.ParseHeader([]byte("Received: from there ([192.0.2.1]) by here; Mon, 30 Nov 2026 18:00:00 +0000\r\nSubject: x\r\n\r\n"))
	err = box.Add(&capture.Record{
		ID: "01KB9Z", Pipeline: "in", Received: time.Now(), Sender: "anna@example.org", Recipients: []capture.Recipient{{Address: "bob@example.net"}},
		Client:   mail.Client{Addr: netip.MustParseAddrPort("192.0.2.1:4711"), Helo: "there", Protocol: "ESMTP", Listener: "in"},
		Decision: []string{"recipient bob@example.net"},
	}, &h, mail.BytesBody("Hello\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// A guest that has a request made at the commit trapped, and one that takes a
// line off the EHLO list was told that there is none: every message was a 451.
func TestReplayAnsweredEveryMessageWith451(t *testing.T) {
	o, asked := guestCapture(t), asked(0)
	o.Resolver = &asked
	for _, r := range replay(t, o, relay.ReplayOptions{}) {
		if len(r.Differences) > 0 {
			t.Errorf("the same chain differs: %q", r.Differences)
		}
	}
	if asked != 1 {
		t.Errorf("DNS was asked %d times", asked)
	}
}

// asked is a relay.Resolver that counts.
type asked int

func (a *asked) LookupIP(context.Context, string) ([]netip.Addr, error) {
	*a++
	return []netip.Addr{netip.MustParseAddr("192.0.2.7")}, nil
}

func (a *asked) LookupMX(context.Context, string) ([]relay.MX, error) { return nil, nil }

func TestReplayOfNothing(t *testing.T) {
	o := capturing(t, t.TempDir(), "", tagger{})
	err := relay.Replay(context.Background(), o, relay.ReplayOptions{}, nil)
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "capture block") {
		t.Errorf("error %v", err)
	}
}

func TestCaptureIsPrivateAndOptional(t *testing.T) {
	dir := t.TempDir()
	submit(t, capturing(t, dir, "", tagger{}), "hello")
	if _, err := os.Stat(filepath.Join(dir, "data", "capture")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("captured without being asked: %v", err)
	}
	submit(t, capturing(t, dir, `capture { share = "100%" }`, tagger{}), "hello")
	files, err := filepath.Glob(filepath.Join(dir, "data", "capture", "in", "*.capture"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, f := range append(files, filepath.Dir(files[0])) {
		if st, err := os.Stat(f); err != nil || st.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s is open to others: %v %v", f, st.Mode(), err)
		}
	}
}

// The captures of a pipeline whose block was taken out stayed for good.
func TestCapturesStayedWhenTheirBlockWasTakenOut(t *testing.T) {
	for name, restart := range map[string]bool{"reload": false, "restart": true} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			folder := filepath.Join(dir, "data", "capture", "in")
			o := capturing(t, dir, "capture {\n    share = \"100%\"\n    keep  = \"2h\"\n  }", tagger{})
			without := capturing(t, dir, "", tagger{})
			clock := relay.NewFakeClock(time.Now())
			o.Clock = clock
			with := o.Config
			o.Config = nil
			write := func(text []byte) {
				if err := os.WriteFile(o.ConfigFile, text, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			write(with)
			r, err := relay.Open(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { r.Close() }()
			if _, err := r.Submit(t.Context(), relay.Submission{Sender: "a@example.org", Recipients: []string{"b@example.net"}, Content: strings.NewReader("Subject: x\n\nx\n")}); err != nil {
				t.Fatal(err)
			}
			write(without.Config)
			if restart {
				if err := r.Close(); err != nil {
					t.Fatal(err)
				}
				r, err = relay.Open(t.Context(), o)
			} else {
				err = r.Reload(t.Context())
			}
			if err != nil {
				t.Fatal(err)
			}
			clock.Advance(time.Hour)
			if files, _ := filepath.Glob(filepath.Join(folder, "*.capture")); len(files) != 1 {
				t.Errorf("after one hour of two there are %v", files)
			}
			clock.Advance(time.Hour)
			if _, err := os.Stat(folder); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("after two hours the folder is there: %v", err)
			}
		})
	}
}
