// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/postroad-mail/postroad/core/internal/pipeline"
	"github.com/postroad-mail/postroad/core/internal/wasmhost"
	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/sdk/abi"
)

// What sdk/kit/cases.txt says of the world of every case.
const (
	header = "Received: from client.example.org by mx.example.net\r\nSubject: =?utf-8?q?gr=C3=BC=C3=9Fe?=\r\nX-Fold: one\r\n two\r\n" +
		"no colon here\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
	body = "--b\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: base64\r\n\r\nZ3L832Uh\r\n" +
		"--b\r\nContent-Type: application/octet-stream; name=a.bin\r\nContent-Disposition: attachment; filename=a.bin\r\nContent-Id: <cid@x>\r\n\r\n" +
		"\x01\x02bin\r\n--b--\r\n"
	chunk       = "Hello.\r\n"
	chunkOffset = 4096
	received    = 0 // id of the relay's own field
)

func client() *mail.Client {
	return &mail.Client{
		Addr: netip.MustParseAddrPort("192.0.2.1:4025"), Name: "host.example.org", Helo: "client.example.org", Protocol: "ESMTPSA", TLSVersion: "TLS1.3",
		User: "ann", Mechanism: "PLAIN", Authenticated: true, Listener: "inbound", SessionID: "01SESSION", Notes: map[string]string{"other.note": "session"},
	}
}

func envelope(c *mail.Client) *mail.Envelope {
	return &mail.Envelope{
		ID: "01MESSAGE", Sender: "ann@example.org", OriginalSender: "ann@example.org", Client: *c, DeclaredSize: 100, EightBit: true,
		Params: "SIZE=100 BODY=8BITMIME", Meta: map[string]string{"other.note": "seen"},
	}
}

func recipients() []mail.Recipient {
	return []mail.Recipient{
		{Address: "bob@example.test", Original: "bob@example.test", Params: "NOTIFY=NEVER"}, {Address: "eve@example.test", Original: "eve@example.test"},
	}
}

// delivery is the attempt, before it or after.
func delivery(done bool) pipeline.Delivery {
	d := pipeline.Delivery{Route: "internet", NextHop: "mx.example.test", Attempt: 2, Last: map[int]mail.Outcome{
		1: {Recipient: 1, Status: mail.Deferred, Reply: *mail.NewReply(451, mail.Enhanced{4, 2, 0}, "busy"), NextHop: "mx.example.test", Remote: true},
	}}
	if done {
		d.Outcomes = map[int]mail.Outcome{
			0: {Recipient: 0, Status: mail.Delivered, Reply: *mail.NewReply(250, mail.Enhanced{2, 0, 0}, "ok"), NextHop: "mx.example.test", Remote: true},
			1: {Recipient: 1, Status: mail.Failed, Reply: *mail.NewReply(550, mail.Enhanced{5, 1, 1}, "no such user"), NextHop: "mx.example.test", Remote: true},
		}
	}
	return d
}

// world is the services around a case.
type world struct {
	fault  string
	store  *store
	bucket *bucket
	quota  *bucket

	mu      sync.Mutex
	sent    []string
	metrics map[string]int64
}

func newWorld(fault string) *world {
	return &world{
		fault: fault, store: &store{fault: fault, m: map[string][]byte{"old": []byte("value")}},
		bucket: &bucket{fault: fault, tokens: 3}, quota: &bucket{tokens: 20}, metrics: map[string]int64{},
	}
}

// Lookup implements wasmhost.Resolver.
func (w *world) Lookup(_ context.Context, name string, rrtype uint16) (wasmhost.Answer, error) {
	switch {
	case name == "example.test" && rrtype == 15:
		r := wasmhost.Record{TTL: 5 * time.Minute, Data: []byte("mx.example.test"), Preference: 10}
		return wasmhost.Answer{Records: []wasmhost.Record{r}, Authenticated: true}, nil
	case name == "slow.test":
		return wasmhost.Answer{}, wasmhost.ErrTimeout
	case name == "broken.test":
		return wasmhost.Answer{}, errors.New("SERVFAIL")
	case w.fault == "a name that does not exist has an empty answer":
		return wasmhost.Answer{}, nil
	}
	return wasmhost.Answer{}, wasmhost.ErrNoRecords
}

// Do implements wasmhost.HTTPClient.
func (w *world) Do(_ context.Context, r wasmhost.HTTPRequest) (*wasmhost.HTTPResponse, error) {
	if err := w.Check(r); err != nil {
		return nil, err
	}
	switch {
	case strings.HasSuffix(r.URL, "/big"):
		return &wasmhost.HTTPResponse{Status: 200, Body: make([]byte, r.MaxBody+1)}, nil
	case strings.HasSuffix(r.URL, "/slow"):
		return nil, context.DeadlineExceeded
	}
	w.Queue(r)
	return &wasmhost.HTTPResponse{Status: 200, Header: map[string][]string{"X-A": {"b", "c"}}, Body: []byte("answer")}, nil
}

// Check implements wasmhost.HTTPQueue.
func (w *world) Check(r wasmhost.HTTPRequest) error {
	u, err := url.Parse(r.URL)
	if err != nil {
		return abi.ErrBadArgument
	}
	if !slices.Contains(r.Allow, u.Hostname()) && w.fault != "any host may be asked" {
		return abi.ErrDenied
	}
	if w.fault == "a request is sent before the commit" && strings.HasSuffix(r.URL, "/") && r.MaxBody == 0 {
		w.Queue(r)
	}
	return nil
}

// Queue implements wasmhost.HTTPQueue.
func (w *world) Queue(r wasmhost.HTTPRequest) {
	w.mu.Lock()
	defer w.mu.Unlock()
	method := r.Method
	if method == "" {
		method = "GET"
	}
	w.sent = append(w.sent, method+" "+r.URL+" "+string(r.Body))
}

// Metric implements wasmhost.Metrics.
func (w *world) Metric(_ string, kind int, name string, labels [][2]string, value int64) bool {
	for _, l := range labels {
		name += ";" + l[0] + "=" + l[1]
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if kind == abi.MetricCounter && w.fault != "a counter is set" {
		value += w.metrics[name]
	}
	w.metrics[name] = value
	return name != "capped"
}

// store is a key-value store in memory.
type store struct {
	fault string
	mu    sync.Mutex
	m     map[string][]byte
}

// Get implements wasmhost.Store.
func (s *store) Get(key []byte) ([]byte, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.m[string(key)]
	return bytes.Clone(v), ok, nil
}

// Put implements wasmhost.Store.
func (s *store) Put(key, value []byte, _ time.Duration, onlyIfAbsent bool) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.m[string(key)]; ok && onlyIfAbsent {
		return false, nil
	}
	s.m[string(key)] = bytes.Clone(value)
	return true, nil
}

// Delete implements wasmhost.Store.
func (s *store) Delete(key []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fault != "a key is not deleted" {
		delete(s.m, string(key))
	}
	return nil
}

// Add implements wasmhost.Store.
func (s *store) Add(key []byte, delta int64, _ time.Duration) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.m[string(key)]
	if ok && len(v) != 8 {
		return 0, abi.ErrConflict
	}
	if ok && s.fault != "a counter starts anew" {
		delta += int64(binary.LittleEndian.Uint64(v))
	}
	s.m[string(key)] = binary.LittleEndian.AppendUint64(nil, uint64(delta))
	return delta, nil
}

// CompareAndSwap implements wasmhost.Store.
func (s *store) CompareAndSwap(key, old, value []byte, _ time.Duration) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v, ok := s.m[string(key)]; !ok || !bytes.Equal(v, old) {
		return false, nil
	}
	s.m[string(key)] = bytes.Clone(value)
	return true, nil
}

// bucket has tokens that do not come back.
type bucket struct {
	fault  string
	mu     sync.Mutex
	tokens int
}

// Take implements wasmhost.Bucket.
func (b *bucket) Take(key string, cost int) (bool, time.Duration) {
	ok, wait := b.Peek(key, cost)
	b.mu.Lock()
	defer b.mu.Unlock()
	if ok {
		b.tokens -= cost
	}
	return ok, wait
}

// Peek implements wasmhost.Bucket.
func (b *bucket) Peek(_ string, cost int) (bool, time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if cost > b.tokens && b.fault != "a bucket has no bottom" {
		return false, 1500 * time.Millisecond
	}
	return true, 0
}

// log collects what is logged.
type log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer.
func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *log) len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Len()
}

func (l *log) from(n int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.b.Bytes()[n:])
}

// tell writes what services and stores have into the state.
func (w *world) tell(state map[string]string) {
	for k, v := range w.store.m {
		state["store kept "+k] = string(v)
		if len(v) == 8 {
			state["counter kept "+k] = fmt.Sprint(int64(binary.LittleEndian.Uint64(v)))
		}
	}
	state["tokens slow"] = fmt.Sprint(w.bucket.tokens)
	for n, s := range w.sent {
		state[fmt.Sprint("sent ", n)] = s
	}
	for k, v := range w.metrics {
		state["metric "+k] = fmt.Sprint(v)
	}
}
