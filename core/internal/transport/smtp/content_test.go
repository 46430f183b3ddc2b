// SPDX-License-Identifier: Apache-2.0

package smtp_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/postroad-mail/postroad/core/internal/testkit"
	"github.com/postroad-mail/postroad/core/internal/transport/smtp"
	"github.com/postroad-mail/postroad/core/mail"
)

// fileBody is a body that is not in memory.
type fileBody struct{ r *bytes.Reader }

func (b fileBody) Size() int64 { return b.r.Size() }

func (b fileBody) ReadAt(p []byte, off int64) (int, error) { return b.r.ReadAt(p, off) }

// hard returns n octets of lines of all lengths, many with dots, some 8-bit.
func hard(n int) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	var b []byte
	for len(b) < n {
		for range r.IntN(4) {
			b = append(b, '.')
		}
		for range r.IntN(200) {
			b = append(b, byte(' '+r.IntN(220)))
		}
		b = append(b, '\r', '\n')
	}
	return b
}

func TestContentArrivesAsItIs(t *testing.T) {
	for name, body := range map[string][]byte{
		"empty":      nil,
		"one dot":    []byte(".\r\n"),
		"dots":       []byte("..\r\n.\r\n...\r\n\r\n.x\r\n"),
		"8-bit":      []byte("\xff\xfe\x00\x80\r\n"),
		"long line":  []byte(strings.Repeat("x", 1<<20) + "\r\n"),
		"dots only":  bytes.Repeat([]byte(".\r\n"), 50000),
		"empties":    bytes.Repeat([]byte("\r\n"), 50000),
		"everything": hard(3 << 20),
	} {
		s := testkit.NewSink(t, testkit.SinkOptions{})
		inMemory, inFile, inHeader := job("a@x.test"), job("b@x.test"), job("c@x.test")
		inMemory.Body = mail.BytesBody(body)
		inFile.Body = fileBody{bytes.NewReader(body)}
		inHeader.Header, inHeader.Body = append(inHeader.Header, body...), nil
		ses := send(t, s, false, inMemory, inFile, inHeader)
		want := append([]byte("Subject: x\r\n\r\n"), body...)
		for i, m := range s.Messages() {
			if !bytes.Equal(m.Content, want) {
				t.Errorf("%s: message %d arrived with %d octets, want %d", name, i, len(m.Content), len(want))
			}
		}
		if s.Count() != 3 || ses.outcomes(2) != delivered {
			t.Errorf("%s: %d arrived, %s", name, s.Count(), ses.outcomes(2))
		}
	}
}

// Whatever a message holds, a line ends in CRLF and nothing else is a line end.
func TestNoBareLineEndLeaves(t *testing.T) {
	s := testkit.NewSink(t, testkit.SinkOptions{})
	j := job("a@x.test")
	j.Header = []byte("Subject: a\rX: b\nY: c\r\n\n")
	j.Body = mail.BytesBody("one\n.\nMAIL FROM:<evil@x.test>\r.\r\r\n.\r\n\r.\rend\r")
	ses := send(t, s, false, j, job("b@x.test"))
	want := "Subject: a X: b\r\nY: c\r\n\r\none\r\n.\r\nMAIL FROM:<evil@x.test> . \r\n.\r\n . end\r\n"
	if m := s.Messages(); len(m) != 2 || string(m[0].Content) != want || s.Bare() != 0 || ses.outcomes(1) != delivered {
		t.Errorf("%d messages, %d bare, first %q", len(m), s.Bare(), m[0].Content)
	}
}

// zeros is a body of any size that takes no room.
type zeros int64

func (z zeros) Size() int64 { return int64(z) }

func (z zeros) ReadAt(p []byte, off int64) (int, error) {
	n := min(int64(len(p)), int64(z)-off)
	for i := range p[:n] {
		p[i] = 'x'
		if (off+int64(i))%64 > 61 {
			p[i] = "\r\n"[(off+int64(i))%64-62]
		}
	}
	if n < int64(len(p)) {
		return int(n), io.EOF
	}
	return int(n), nil
}

// A long message passes through in pieces.
func TestLongContentIsNeverHeldWhole(t *testing.T) {
	h := newRawHost(t)
	const size = 64 << 20
	received := int64(0)
	go func() {
		defer close(h.ended)
		h.greet("PIPELINING")
		h.until("DATA\r\n")
		h.say("250 a\r\n250 b\r\n354 c\r\n")
		received, _ = io.CopyN(io.Discard, h.c, size)
		h.until("\r\n.\r\n")
		h.say("250 2.0.0 taken\r\n")
		h.until("QUIT\r\n")
		h.say("221 bye\r\n")
		h.c.Close()
	}()
	j := job("a@x.test")
	j.Body = zeros(size)
	ses := &session{jobs: []*smtp.Job{j}, got: map[*smtp.Job][]mail.Outcome{}}
	c := h.dial(t)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	ses.err = c.Run(testContext(t), ses.hand, ses.done)
	runtime.ReadMemStats(&after)
	<-h.ended
	if ses.outcomes(0) != delivered || received != size {
		t.Errorf("%s, %d octets", ses.outcomes(0), received)
	}
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 4<<20 {
		t.Errorf("%d octets were allocated for a message of %d", grown, size)
	}
}

// benchmark sends b.N messages of that size over one connection.
func benchmark(b *testing.B, size int, extensions ...string) {
	s := testkit.NewSink(b, testkit.SinkOptions{Extensions: extensions, Forget: true})
	conn, err := client(smtp.Timeouts{}).Dial(b.Context(), target(s))
	if err != nil {
		b.Fatal(err)
	}
	j := job("a@x.test")
	j.Body = mail.BytesBody(bytes.Repeat([]byte("The quick brown fox jumps over the lazy dog again and again.\r\n"), size/62))
	b.SetBytes(j.Body.Size())
	b.ReportAllocs()
	left, sent := b.N, atomic.Int64{}
	b.ResetTimer()
	err = conn.Run(b.Context(), func(bool) (*smtp.Job, bool) {
		left--
		return j, left >= 0
	}, func(_ *smtp.Job, o []mail.Outcome) {
		if len(o) == 1 && o[0].Status == mail.Delivered {
			sent.Add(1)
		}
	})
	if err != nil || sent.Load() != int64(b.N) || s.Count() != b.N {
		b.Fatalf("%d of %d sent, %v", sent.Load(), b.N, err)
	}
}

// The figures include the host's side, in the same process.
func BenchmarkSmallPipelined(b *testing.B) { benchmark(b, 5<<10, "PIPELINING", "SIZE") }
func BenchmarkSmallLockstep(b *testing.B)  { benchmark(b, 5<<10, "SIZE") }
func BenchmarkLarge(b *testing.B)          { benchmark(b, 5<<20, "PIPELINING", "SIZE") }
