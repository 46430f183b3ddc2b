// SPDX-License-Identifier: Apache-2.0

package wasmhost

import (
	"bytes"
	"context"
	"crypto/sha256"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"

	"github.com/postroad-mail/postroad/core/bench/filters"
	"github.com/postroad-mail/postroad/core/internal/pipeline"
	"github.com/postroad-mail/postroad/core/internal/wasmhost/metering"
	"github.com/postroad-mail/postroad/core/mail"
)

// form is a way to run a guest. Only metered is what the relay does; the others
// are here to compare with, on the same host code.
type form string

const (
	plain   form = "plain"   // as compiled: nothing stops it
	metered form = "metered" // as the relay runs it
	closing form = "closing" // plain, with the engine's own WithCloseOnContextDone
)

var forms = []form{plain, metered, closing}

// guestModules keeps the guests of core/bench/filters, for Go takes its time.
var guestModules = struct {
	sync.Mutex
	wasm map[string][]byte
}{wasm: map[string][]byte{}}

func guestModule(t testing.TB, name string) []byte {
	t.Helper()
	guestModules.Lock()
	defer guestModules.Unlock()
	if guestModules.wasm[name] == nil {
		wasm, err := filters.Module(context.Background(), name)
		if err != nil {
			t.Fatal(err)
		}
		guestModules.wasm[name] = wasm
	}
	return guestModules.wasm[name]
}

// load makes a module that is run in the form.
func (f form) load(t testing.TB, h *Host, wasm []byte) *Module {
	t.Helper()
	ctx := context.Background()
	if f == metered {
		m, err := h.Load(ctx, "guest", wasm)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = m.Close() })
		return m
	}
	c := &code{host: h, sum: sha256.Sum256(append([]byte(f), wasm...)), refs: 1}
	config := wazero.NewRuntimeConfig().WithCoreFeatures(features).WithDebugInfoEnabled(false).WithCloseOnContextDone(f == closing)
	c.runtime = wazero.NewRuntimeWithConfig(ctx, config)
	t.Cleanup(c.close)
	var err error
	if c.compiled, err = c.runtime.CompileModule(ctx, withCounters(t, wasm)); err != nil {
		t.Fatal(err)
	}
	if err := c.link(ctx); err != nil {
		t.Fatal(err)
	}
	h.retain(c)
	return &Module{name: "guest", code: c}
}

// withCounters adds the four counters to a module and nothing that counts, so
// that the host can run it as it runs a metered one.
func withCounters(t testing.TB, wasm []byte) []byte {
	stripped, err := metering.Strip(wasm)
	if err != nil {
		t.Fatal(err)
	}
	secs, err := split(stripped)
	if err != nil {
		t.Fatal(err)
	}
	outline, err := readOutline(stripped, "")
	if err != nil {
		t.Fatal(err)
	}
	first := uint32(0)
	for _, e := range outline.imports {
		if e.kind == kindGlobal {
			first++
		}
	}
	out := append([]byte{}, wasm[:8]...)
	for _, s := range secs {
		r := reader{rest: s.body}
		switch n := r.u32(); s.id {
		case 6:
			first += n
			s.body = append(append(appendU32(nil, n+4), r.rest...), "\x7e\x01\x42\x00\x0b\x7e\x01\x42\x00\x0b\x7f\x01\x41\x00\x0b\x7f\x01\x41\x00\x0b"...)
		case sectionExport:
			s.body = append(appendU32(nil, n+4), r.rest...)
			for i, name := range []string{metering.NameSlice, metering.NameTotal, metering.NameKill, metering.NameDepth} {
				s.body = append(append(appendU32(s.body, uint32(len(name))), name...), kindGlobal)
				s.body = appendU32(s.body, first+uint32(i))
			}
		}
		out = append(appendU32(append(out, s.id), uint32(len(s.body))), s.body...)
	}
	return out
}

// run makes one call. The engine's own interruption takes the deadline from the
// context of a call, so it gets one, and the call is made by hand.
func (f form) run(t testing.TB, s *Stage, h *pipeline.Hook) {
	var err error
	if f == closing {
		err = runUntil(s, h)
	} else {
		_, err = s.Run(context.Background(), h)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func runUntil(s *Stage, h *pipeline.Hook) error {
	ctx, cancel := context.WithTimeout(context.Background(), s.limits.MessageDeadline)
	defer cancel()
	i, err := s.acquire(ctx, nil, s.limits.MessageDeadline)
	if err != nil {
		return err
	}
	i.ctx = &callContext{Context: ctx, i: i} // a new one, for the engine may look at the old one still
	_, err = i.run(h, s.limits.MessageDeadline)
	s.put(i, nil, err)
	return err
}

// jobStage makes a stage of a guest of core/bench/filters.
func jobStage(t testing.TB, m *Module, job, isolation string) *Stage {
	return newTestStage(t, m, StageOptions{
		Config: filters.Config(job), Grant: everything(),
		Limits: Limits{MessageFuel: maxMessageFuel, MessageDeadline: time.Minute, Isolation: isolation},
	})
}

// messageHooks returns what makes hooks about a mail of about so many octets.
func messageHooks(size int) func() *pipeline.Hook {
	head, body, _ := bytes.Cut(filters.Message(size), []byte("\r\n\r\n"))
	header, octets := mail.ParseHeader(append(head, "\r\n\r\n"...)), mail.BytesBody(string(body))
	p, env := testPipeline(), testEnvelope()
	return func() *pipeline.Hook {
		return pipeline.NewHook(p, "s", mail.PhaseMessage, 0, env, header, octets)
	}
}

// TestFilters: the guests do the same job as the relay runs them, and so does one
// in the other forms.
func TestFilters(t *testing.T) {
	const size = 20 << 10
	for _, g := range filters.Guests() {
		for _, f := range forms {
			if f == metered || g.Name == "c" {
				checkFilter(t, g.Name, f, size)
			}
		}
	}
}

func checkFilter(t *testing.T, guest string, f form, size int) {
	m := f.load(t, newHost(t, Options{}), guestModule(t, guest))
	h := messageHooks(size)()
	for _, job := range []string{"scan", "subject", "add", "nothing"} {
		f.run(t, jobStage(t, m, job, ""), h)
	}
	for name, want := range map[string]string{
		"X-Words": filters.Report(filters.Message(size)), "X-Filter": "seen",
		"Subject": "[list] The figures of the third quarter",
	} {
		if got, _ := h.Header().Get(name); got != want {
			t.Errorf("%s, %s: %s is %q, want %q", guest, f, name, got, want)
		}
	}
}

// BenchmarkOverhead is what core/bench's table of overheads is made from: a call
// in every form, in turns, so that what else the machine does hits all of them.
// It reports the least and the median of each in nanoseconds. The hook is new
// with every call, as for a message of 100 KiB; "hook" is that without a call.
func BenchmarkOverhead(b *testing.B) {
	for _, job := range []string{"nothing", "add", "subject", "scan"} {
		for _, g := range filters.Guests() {
			b.Run(job+"/"+g.Name, func(b *testing.B) {
				hook := messageHooks(100 << 10)
				var runs []timed
				for _, f := range forms {
					s := jobStage(b, f.load(b, newHost(b, Options{}), guestModule(b, g.Name)), job, "")
					runs = append(runs, timed{name: string(f), run: func() { f.run(b, s, hook()) }})
				}
				measure(b, append(runs, timed{name: "hook", run: func() { hook() }}))
			})
		}
	}
}

// BenchmarkStage is a message of 5 KiB on its way through the pipeline, with a
// stage that adds a field to it at each isolation, and without one: sessions of
// ten messages, by message.
func BenchmarkStage(b *testing.B) {
	for _, g := range filters.Guests() {
		if g.Name == "c-simd" {
			continue // does the same here
		}
		b.Run(g.Name, func(b *testing.B) {
			m := metered.load(b, newHost(b, Options{}), guestModule(b, g.Name))
			all := []timed{{name: "none", run: session(b, pipeline.New(pipeline.Options{}))}}
			for _, isolation := range isolations {
				s := jobStage(b, m, "add", isolation)
				p := pipeline.New(pipeline.Options{Steps: []pipeline.Step{{Name: "s", Stage: s}}})
				all = append(all, timed{name: isolation, run: session(b, p), of: sessionMessages})
			}
			all[0].of = sessionMessages
			measure(b, all)
		})
	}
}

// sessionMessages is how many messages a session brings.
const sessionMessages = 10

// session returns what makes one session with its messages.
func session(b *testing.B, p *pipeline.Pipeline) func() {
	head, body, _ := bytes.Cut(filters.Message(5<<10), []byte("\r\n\r\n"))
	header, octets := mail.ParseHeader(append(head, "\r\n\r\n"...)), mail.BytesBody(string(body))
	ctx := context.Background()
	return func() {
		s := p.Session(&mail.Client{})
		defer s.Close()
		for range sessionMessages {
			tx := s.Begin(testEnvelope())
			tx.Mail(ctx)
			if r := tx.Message(ctx, header, octets, -1, ""); r.Reply != nil || len(r.Messages) != 1 {
				b.Fatalf("%+v", r)
			}
			tx.Close()
		}
	}
}

// timed is something that is measured beside others.
type timed struct {
	name  string
	run   func()
	of    int             // times that a run does it, 0 for once
	batch int             // runs at once, so that looking at the clock does not count
	took  []time.Duration // of one run, by batches
}

// What a batch and a turn take at least.
const (
	batchTime = 20 * time.Microsecond
	turnTime  = time.Millisecond
)

// measure runs all of them in turns and reports for each the least and the
// median.
func measure(b *testing.B, all []timed) {
	for i := range all {
		for all[i].batch = 1; all[i].time()*time.Duration(all[i].batch) < batchTime; all[i].batch *= 2 {
		}
	}
	for b.Loop() {
		for i := range all {
			all[i].turn()
		}
	}
	b.ReportMetric(0, "ns/op") // of all together: means nothing
	for _, t := range all {
		slices.Sort(t.took)
		b.ReportMetric(float64(t.took[0]), t.name+"-min-ns")
		b.ReportMetric(float64(t.took[len(t.took)/2]), t.name+"-median-ns")
	}
}

// turn runs batches for a while.
func (t *timed) turn() {
	for began := time.Now(); ; {
		t.took = append(t.took, t.time())
		if time.Since(began) > turnTime {
			return
		}
	}
}

// time returns the time of one run.
func (t *timed) time() time.Duration {
	began := time.Now()
	for range t.batch {
		t.run()
	}
	return time.Since(began) / time.Duration(t.batch*max(t.of, 1))
}
