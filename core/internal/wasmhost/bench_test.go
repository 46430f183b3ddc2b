// SPDX-License-Identifier: Apache-2.0

package wasmhost

import (
	"context"
	"testing"
	"time"

	"github.com/postroad-mail/postroad/core/internal/pipeline"
	"github.com/postroad-mail/postroad/core/mail"
)

// benchStage measures a stage's calls on one message, hook included where
// fresh says so.
func benchStage(b *testing.B, s *Stage, phase mail.Phase) {
	b.Helper()
	h := newHook(phase, 0, testEnvelope())
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Run(ctx, h); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkEmptyStage is the overhead of a call: lease, budget, deadline, guest,
// account.
func BenchmarkEmptyStage(b *testing.B) {
	benchStage(b, newTestStage(b, load(b, newHost(b, Options{}), "guests/empty.wasm"), StageOptions{}), mail.PhaseMail)
}

// BenchmarkFourFields is a call that reads three fields and a header.
func BenchmarkFourFields(b *testing.B) {
	s := newTestStage(b, load(b, newHost(b, Options{}), "guests/fields.wasm"), StageOptions{Grant: everything()})
	benchStage(b, s, mail.PhaseMessage)
}

// BenchmarkEmptyStageParallel is the pool under contention.
func BenchmarkEmptyStageParallel(b *testing.B) {
	s := newTestStage(b, load(b, newHost(b, Options{}), "guests/empty.wasm"), StageOptions{})
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		h := newHook(mail.PhaseMail, 0, testEnvelope())
		for pb.Next() {
			if _, err := s.Run(context.Background(), h); err != nil {
				b.Error(err)
			}
		}
	})
}

// BenchmarkIsolation is one hook in a transaction of its own, or of a connection
// that goes on, with each level of isolation, for a guest of one page and for one
// of the standard Go compiler, whose image is some MiB. The pipeline's share is
// in all of them. core/bench takes its table of overheads from these names.
func BenchmarkIsolation(b *testing.B) {
	guests := map[string]func(testing.TB) []byte{
		"empty": func(t testing.TB) []byte { return readWasm(t, "guests/empty.wasm") },
		"go":    buildGoGuest,
	}
	for _, name := range sorted(guests) {
		m, err := newHost(b, Options{}).Load(context.Background(), name, guests[name](b))
		if err != nil {
			b.Fatal(err)
		}
		for _, isolation := range isolations {
			b.Run(name+"/"+isolation, func(b *testing.B) {
				s := newTestStage(b, m, StageOptions{Grant: everything(), Limits: Limits{Isolation: isolation}})
				benchTransactions(b, oneStage(s))
			})
		}
	}
}

func benchTransactions(b *testing.B, p *pipeline.Pipeline) {
	ctx := context.Background()
	session := p.Session(&mail.Client{})
	header := mail.ParseHeader([]byte("Subject: x\r\n\r\n"))
	b.ReportAllocs()
	for b.Loop() {
		tx := session.Begin(testEnvelope())
		if r := tx.Message(ctx, header, mail.BytesBody("Hello.\r\n"), -1, pipeline.MixedBounce); r.Reply != nil {
			b.Fatal(r.Reply)
		}
		tx.Close()
	}
	session.Close()
}

// BenchmarkLoad is what a module costs at the start, without and with kept code.
func BenchmarkLoad(b *testing.B) {
	wasm := readWasm(b, "script.wasm")
	for name, dir := range map[string]string{"compiled": "", "kept": b.TempDir()} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				m, err := newHost(b, Options{CacheDir: dir}).Load(context.Background(), "x", wasm)
				if err != nil {
					b.Fatal(err)
				}
				_ = m.Close()
			}
		})
	}
}

// BenchmarkCommand is one hook of a command on the test message: a filter that
// copies it, written by hand, and a program of the standard Go compiler that
// reads the JSON.
func BenchmarkCommand(b *testing.B) {
	host := newHost(b, Options{})
	cat := newTestStage(b, load(b, host, "guests/cat.wasm"), StageOptions{Grant: everything(), Mode: ModeFilter})
	b.Run("filter", func(b *testing.B) { benchStage(b, cat, mail.PhaseMessage) })
	m, err := host.Load(context.Background(), "go", buildGoCommand(b, "gocommand"))
	if err != nil {
		b.Fatal(err)
	}
	program := newTestStage(b, m, StageOptions{Grant: everything(), Limits: Limits{MessageDeadline: time.Minute}})
	b.Run("go", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			run(b, program, newHook(mail.PhaseMessage, 0, testEnvelope()))
		}
	})
}
