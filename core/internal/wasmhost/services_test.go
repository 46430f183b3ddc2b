// SPDX-License-Identifier: Apache-2.0

package wasmhost

import (
	"context"
	"encoding/binary"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postroad-mail/postroad/core/internal/pipeline"
	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/sdk/abi"
)

// world is every service that a stage can have, with an account of what they
// were asked.
type world struct {
	mu      sync.Mutex
	asked   []string
	figures []string
	queued  []HTTPRequest
	full    bool // the queue has no room, and no series is free
}

func (w *world) note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = append(w.asked, fmt.Sprintf(format, args...))
}

// Lookup implements Resolver.
func (w *world) Lookup(ctx context.Context, name string, rrtype uint16) (Answer, error) {
	w.note("dns %s %d", name, rrtype)
	switch name {
	case "a.example.org":
		return Answer{Authenticated: true, Records: []Record{{TTL: time.Minute, Data: []byte("192.0.2.1")}, {TTL: 1500 * time.Millisecond, Data: []byte("192.0.2.2")}}}, nil
	case "mx.example.org":
		return Answer{Records: []Record{{Data: []byte("mail.example.org"), Preference: 10}}}, nil
	case "big.example.org":
		return Answer{Records: []Record{{Data: make([]byte, maxAnswer)}}}, nil
	case "slow.example.org":
		<-ctx.Done()
		return Answer{}, fmt.Errorf("no answer: %w", ctx.Err())
	case "sick.example.org":
		return Answer{}, fmt.Errorf("the server says SERVFAIL")
	}
	return Answer{}, ErrNoRecords
}

// Do implements HTTPClient.
func (w *world) Do(ctx context.Context, r HTTPRequest) (*HTTPResponse, error) {
	w.note("%s %s %v %s allow %v wants %v", r.Method, r.URL, r.Header, r.Body, r.Allow, r.Wants)
	switch _, path, _ := strings.Cut(r.URL, "example.org/"); path {
	case "slow":
		<-ctx.Done()
		return nil, ctx.Err()
	case "denied":
		return nil, fmt.Errorf("inside: %w", abi.ErrDenied)
	case "big":
		return &HTTPResponse{Status: 200, Body: make([]byte, maxAnswerBody)}, nil
	case "bigger":
		return &HTTPResponse{Status: 200, Body: make([]byte, r.MaxBody+1)}, nil
	}
	return &HTTPResponse{Status: 202, Header: map[string][]string{"X-Answer": {"yes", "no"}}, Body: []byte("answer")}, nil
}

// Check implements HTTPQueue.
func (w *world) Check(r HTTPRequest) error {
	switch {
	case w.full:
		return abi.ErrLimit
	case !strings.HasPrefix(r.URL, "https://api.example.org/"):
		return abi.ErrDenied
	}
	return nil
}

// Queue implements HTTPQueue.
func (w *world) Queue(r HTTPRequest) { w.queued = append(w.queued, r) }

// Metric implements Metrics.
func (w *world) Metric(stage string, kind int, name string, labels [][2]string, value int64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.figures = append(w.figures, fmt.Sprintf("%s %d %s %v %d", stage, kind, name, labels, value))
	return !w.full
}

// options are those of a stage that has everything.
func (w *world) options() StageOptions {
	return StageOptions{
		Grant: everything(), Limits: Limits{Isolation: IsolationMessage, Deadline: time.Minute, MessageDeadline: time.Minute}, // for a busy machine
		Stores: map[string]Store{"db": newMemStore()}, Buckets: map[string]Bucket{"b": &fixedBucket{tokens: 3}},
		Secrets: map[string]string{"token": "s3cret"}, DNS: w, HTTP: w, Metrics: w, Emit: &fixedBucket{tokens: 50},
	}
}

// mimeMessage has a text part in a legacy charset and an attachment.
const mimeMessage = "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nX-Fold: one\r\n two\r\nMIME-Version: 1.0\r\n" +
	"Content-Type: multipart/mixed; boundary=b\r\n\r\n" +
	"--b\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nGr=FC=DFe\r\n" +
	"--b\r\nContent-Type: application/octet-stream\r\nContent-Disposition: attachment; filename=a.bin\r\n" +
	"Content-Transfer-Encoding: base64\r\n\r\nAAEC\r\n--b--\r\n"

// fullHook returns a hook with all that its phase can have.
func fullHook(phase mail.Phase, dry bool) *pipeline.Hook {
	env := testEnvelope()
	env.Params, env.Recipients[0].Params = "SIZE=100 BODY=8BITMIME RET=HDRS", "NOTIFY=NEVER"
	env.Client.Protocol, env.Client.Mechanism, env.Client.PeerCert = "ESMTPSA", "PLAIN", strings.Repeat("\x01", 32)
	env.Meta = map[string]string{"other.note": "hi"}
	env.Tenant, env.Campaign = "shop", "spring"
	env.Scores = []mail.Score{{Stage: "other", Symbol: "OTHER", Milli: 500}}
	setup := pipeline.Setup{Dry: dry}
	arg := 0
	switch phase {
	case mail.PhaseConnect, mail.PhaseTLS, mail.PhaseHelo, mail.PhaseAuth:
		env = &mail.Envelope{Client: env.Client}
	case mail.PhaseBody:
		setup.Chunk, setup.Offset, arg = []byte("chunk"), 7, 5
	case mail.PhaseTick:
		env = &mail.Envelope{}
	case mail.PhaseRoute, mail.PhasePredeliver, mail.PhaseResult, mail.PhaseBounce:
		setup.Delivery = delivery()
	}
	if phase == mail.PhaseHelo {
		setup.EHLO = []string{"PIPELINING", "SIZE 1000"}
	}
	if phase == mail.PhaseAuth {
		setup.Password = []byte("pass\x00word")
	}
	var h mail.Header
	var b mail.Body
	if hasHeader(phase) {
		head, body, _ := strings.Cut(mimeMessage, "\r\n\r\n")
		h, b = mail.ParseHeader([]byte(head+"\r\n\r\n")), mail.BytesBody(body)
	}
	return pipeline.NewHook(testPipeline(), "s", phase, arg, env, h, b).With(setup)
}

func delivery() *pipeline.Delivery {
	remote := mail.Outcome{Recipient: 0, Status: mail.Deferred, Reply: *mail.NewReply(450, mail.Enhanced{4, 2, 1}, "try later"), NextHop: "mx.example.org", Remote: true}
	return &pipeline.Delivery{
		Route: "internet", NextHop: "mx.example.org", Attempt: 3,
		Outcomes: map[int]mail.Outcome{0: remote}, Last: map[int]mail.Outcome{0: remote},
	}
}

// servedPhasesList are all phases that the ABI calls.
func servedPhasesList() []mail.Phase {
	var ps []mail.Phase
	for p := mail.Phase(0); p < 64; p++ {
		if uint64(abi.ServedPhases)>>p&1 != 0 {
			ps = append(ps, p)
		}
	}
	return ps
}

// runOn runs a hook on an instance of the stage's own, whatever isolation says
// of the phase, and leaves the instance idle for peek.
func runOn(t testing.TB, s *Stage, h *pipeline.Hook) error {
	t.Helper()
	i, err := s.acquire(context.Background(), nil, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	_, err = i.run(h, s.limits.deadline(h.Phase()))
	s.put(i, nil, err)
	return err
}

// u32 spells a value of TLV.
func u32(n int) string { return string(binary.LittleEndian.AppendUint32(nil, uint32(n))) }

// getPath is the request for a path of the granted host.
func getPath(path string, more ...string) string {
	return tlvOf(abi.HTTPURL, "https://api.example.org/"+path) + strings.Join(more, "")
}

var emission = tlvOf(abi.EmitSender, "me@example.org") + tlvOf(abi.EmitRecipient, "you@example.org") +
	tlvOf(abi.EmitHeader, "Subject: x\r\n") + tlvOf(abi.EmitBody, "body\r\n")
