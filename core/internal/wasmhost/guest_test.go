// SPDX-License-Identifier: Apache-2.0

package wasmhost

import (
	"bytes"
	"context"
	"encoding/binary"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/postroad-mail/postroad/core/internal/pipeline"
	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/sdk/abi"
)

// everything is a grant of all there is.
func everything() Grant {
	return Grant{
		Read:   []string{"envelope", "headers", "body", "auth"},
		Write:  []string{"headers", "body", "recipients", "sender", "queue", "ehlo"},
		Routes: []string{"*"}, NextHops: []string{"*.example.org:25"}, Stores: []string{"*"}, Buckets: []string{"*"},
		DNS: true, HTTP: []string{"api.example.org"}, Emit: true, Secrets: []string{"*"}, Tick: time.Minute,
	}
}

func newHost(t testing.TB, o Options) *Host {
	t.Helper()
	h, err := New(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return h
}

func readWasm(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func load(t testing.TB, h *Host, name string) *Module {
	t.Helper()
	m, err := h.Load(context.Background(), name, readWasm(t, name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	return m
}

func newTestStage(t testing.TB, m *Module, o StageOptions) *Stage {
	t.Helper()
	if o.Name == "" {
		o.Name = "s"
	}
	s, err := m.NewStage(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// step numbers of testdata/script.wat: the order of its imports.
var stepNumbers = strings.Fields(`get get_int reply rcpt_verdict hdr_find hdr_get hdr_add hdr_set hdr_del rcpt_add rcpt_set rcpt_del sender_set
	msg_size msg_read body_write part_count part_get meta_get meta_set route_set store kv_get kv_put kv_del
	kv_add kv_cas bucket rate_take config log log_on now part_read score split use queue_set emit dns http
	http_read secret metric random http_header ehlo_set snapshot label_set`)

// Addresses in testdata/script.wat.
const (
	scriptConfig  = 0x10000
	scriptResults = 0x30000
	scriptBuffers = 0x40000
	bufferSize    = 4096
)

// script is a program for testdata/script.wat.
type script struct {
	t     testing.TB
	data  []byte
	init  []byte
	hook  []byte
	inits int
	calls int
}

func newScript(t testing.TB) *script { return &script{t: t, data: make([]byte, 16)} }

// text puts s into the config and returns its address and length.
func (sc *script) text(s string) (int64, int64) {
	at := len(sc.data)
	sc.data = append(sc.data, s...)
	return int64(scriptConfig + at), int64(len(s))
}

// words puts u32 numbers into the config and returns their address.
func (sc *script) words(ns ...int) int64 {
	b := ""
	for _, n := range ns {
		b += u32(n)
	}
	p, _ := sc.text(b)
	return p
}

// buffer returns the address and capacity of buffer n.
func buffer(n int) (int64, int64) { return int64(scriptBuffers + n*bufferSize), bufferSize }

func (sc *script) encode(name string, args []any) []byte {
	number := int64(-1)
	for n, s := range stepNumbers {
		if s == name {
			number = int64(n)
		}
	}
	if number < 0 && name != "" {
		sc.t.Fatalf("script has no function %q", name)
	}
	words := []int64{number}
	for _, a := range args {
		switch a := a.(type) {
		case int:
			words = append(words, int64(a))
		case int64:
			words = append(words, a)
		case string:
			p, n := sc.text(a)
			words = append(words, p, n)
		case buf:
			p, n := buffer(int(a))
			words = append(words, p, n)
		case out:
			words = append(words, int64(a))
		case [2]int64:
			words = append(words, a[0], a[1])
		default:
			sc.t.Fatalf("script cannot pass a %T", a)
		}
	}
	var b []byte
	for n := 0; n < 9; n++ {
		w := int64(0)
		if n < len(words) {
			w = words[n]
		}
		b = binary.LittleEndian.AppendUint64(b, uint64(w))
	}
	return b
}

// buf as an argument stands for a buffer's address and capacity; a string for
// its address and length.
type buf int

// call adds a step to the hook script and returns its number.
func (sc *script) call(name string, args ...any) int {
	sc.hook = append(sc.hook, sc.encode(name, args)...)
	sc.calls++
	return sc.calls - 1
}

// atInit adds a step to the init script.
func (sc *script) atInit(name string, args ...any) {
	sc.init = append(sc.init, sc.encode(name, args)...)
	sc.inits++
}

// end returns the config, for a hook that ends with verdict.
func (sc *script) end(phases mail.PhaseSet, verdict int) []byte {
	hook := append(sc.hook, sc.encode("", []any{verdict})...)
	init := append(sc.init, sc.encode("", []any{0})...)
	out := sc.data
	binary.LittleEndian.PutUint64(out, uint64(phases))
	binary.LittleEndian.PutUint32(out[8:], uint32(len(out)))
	out = append(out, init...)
	binary.LittleEndian.PutUint32(out[12:], uint32(len(out)))
	return append(out, hook...)
}

// peek reads the memory of the idle instance that was used last.
func peek(t testing.TB, s *Stage, at, n int) []byte {
	t.Helper()
	s.pool.mu.Lock()
	defer s.pool.mu.Unlock()
	if len(s.pool.idle) == 0 {
		t.Fatal("no idle instance")
	}
	b, ok := s.pool.idle[len(s.pool.idle)-1].mod.Memory().Read(uint32(at), uint32(n))
	if !ok {
		t.Fatal("peek outside of memory")
	}
	return bytes.Clone(b)
}

// result returns the result of step n.
func result(t testing.TB, s *Stage, n int) int64 {
	t.Helper()
	return int64(binary.LittleEndian.Uint64(peek(t, s, scriptResults+8*n, 8)))
}

// bufferText returns the first n octets of buffer k.
func bufferText(t testing.TB, s *Stage, k int, n int64) string {
	t.Helper()
	if n < 0 || n > bufferSize {
		t.Fatalf("result %d is no length", n)
	}
	at, _ := buffer(k)
	return string(peek(t, s, int(at), int(n)))
}

var allPhases = mail.Phases(mail.PhaseMail, mail.PhaseRcpt, mail.PhaseMessage)

func testEnvelope() *mail.Envelope {
	return &mail.Envelope{
		ID: "01MESSAGE", Sender: "ann@example.org", OriginalSender: "ann@example.org", DeclaredSize: 100, EightBit: true,
		Recipients: []mail.Recipient{{Address: "bob@example.test", Original: "bob@example.test"}, {Address: "eve@example.test"}},
		Client: mail.Client{
			Addr: netip.MustParseAddrPort("192.0.2.1:4025"), Helo: "client.example.org", Listener: "inbound",
			SessionID: "01SESSION", Notes: map[string]string{},
		},
	}
}

const testMessage = "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nX-Fold: one\r\n two\r\n\r\nHello.\r\n"

type memBody struct{ bytes.Buffer }

func (b *memBody) Finish() (mail.Body, error) { return mail.BytesBody(b.Bytes()), nil }
func (b *memBody) Abort()                     {}

func testPipeline() *pipeline.Pipeline {
	return pipeline.New(pipeline.Options{Name: "test", NewBody: func() pipeline.BodyWriter { return &memBody{} }})
}

// newHook returns a hook of stage s about the test message.
func newHook(phase mail.Phase, arg int, env *mail.Envelope) *pipeline.Hook {
	head, body, _ := strings.Cut(testMessage, "\r\n\r\n")
	var h mail.Header
	var b mail.Body
	if phase == mail.PhaseMessage {
		h, b = mail.ParseHeader([]byte(head+"\r\n\r\n")), mail.BytesBody(body)
	}
	return pipeline.NewHook(testPipeline(), "s", phase, arg, env, h, b)
}

// run runs a script's hook and fails the test when the stage fails.
func run(t testing.TB, s *Stage, h *pipeline.Hook) mail.Verdict {
	t.Helper()
	v, err := s.Run(context.Background(), h)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// scriptStage makes a stage of a script.
func scriptStage(t testing.TB, config []byte, o StageOptions) *Stage {
	t.Helper()
	o.Config = config
	return newTestStage(t, load(t, newHost(t, Options{Logger: o.Logger}), "script.wasm"), o)
}

// memStore is a Store in memory.
type memStore struct {
	mu sync.Mutex
	m  map[string][]byte
}

func newMemStore() *memStore { return &memStore{m: map[string][]byte{}} }

func (s *memStore) Get(key []byte) ([]byte, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.m[string(key)]
	return v, ok, nil
}

func (s *memStore) Put(key, value []byte, _ time.Duration, onlyIfAbsent bool) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.m[string(key)]; ok && onlyIfAbsent {
		return false, nil
	}
	s.m[string(key)] = value
	return true, nil
}

func (s *memStore) Delete(key []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.m, string(key))
	return nil
}

func (s *memStore) Add(key []byte, delta int64, _ time.Duration) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := int64(0)
	if v, ok := s.m[string(key)]; ok {
		if len(v) != 8 {
			return 0, abi.ErrConflict
		}
		n = int64(binary.LittleEndian.Uint64(v))
	}
	n += delta
	s.m[string(key)] = binary.LittleEndian.AppendUint64(nil, uint64(n))
	return n, nil
}

func (s *memStore) CompareAndSwap(key, old, value []byte, _ time.Duration) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v, ok := s.m[string(key)]; !ok || !bytes.Equal(v, old) {
		return false, nil
	}
	s.m[string(key)] = value
	return true, nil
}

// fixedBucket allows what its tokens last.
type fixedBucket struct {
	mu     sync.Mutex
	tokens int
}

func (b *fixedBucket) Take(_ string, cost int) (bool, time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if cost > b.tokens {
		return false, 1500 * time.Microsecond
	}
	b.tokens -= cost
	return true, 0
}

func (b *fixedBucket) Peek(_ string, cost int) (bool, time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return cost <= b.tokens, 0
}

// logSink collects log lines.
type logSink struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logSink) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logSink) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newLog(level hclog.Level) (hclog.Logger, *logSink) {
	sink := &logSink{}
	return hclog.New(&hclog.LoggerOptions{Output: sink, Level: level}), sink
}
