// SPDX-License-Identifier: Apache-2.0

package wasmhost

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/postroad-mail/postroad/core/internal/pipeline"
	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/sdk/abi"
)

// TestFieldsByPhase reads every field in every phase: there from the moment on
// that the ABI says, else absent, and denied without the grant.
func TestFieldsByPhase(t *testing.T) {
	session := mail.Phases(mail.PhaseConnect, mail.PhaseTLS, mail.PhaseHelo, mail.PhaseAuth)
	delivery := mail.Phases(mail.PhaseRoute, mail.PhasePredeliver, mail.PhaseResult, mail.PhaseBounce)
	known := func(f *abi.Field, p mail.Phase) bool {
		at := mail.Phases(p)
		switch {
		case f.Number == abi.FieldAuthPassword:
			return p == mail.PhaseAuth
		case f.Number == abi.FieldHeaderCount:
			return hasHeader(p)
		case f.Known == "init":
			return true
		case p == mail.PhaseTick:
			return false
		case f.Known == "session" || f.Number == abi.FieldProtocol:
			return true
		case f.Known == "mail", f.Known == "rcpt":
			return at&session == 0
		case f.Known == "body":
			return p == mail.PhaseBody
		case f.Known == "message":
			return p == mail.PhaseMessage || p == mail.PhaseQueued || p == mail.PhasePredeliver
		}
		return f.Known == "delivery" && at&delivery != 0
	}
	m := scriptModule(t)
	for _, p := range servedPhasesList() {
		for _, o := range []StageOptions{new(world).options(), {Limits: Limits{Isolation: IsolationMessage}}} {
			granted := len(o.Grant.Read) > 0
			sc := newScript(t)
			for _, f := range abi.Fields() {
				if f.Type == "int" {
					sc.call("get_int", f.Number, 0)
				} else {
					sc.call("get", f.Number, 0, buf(0))
				}
			}
			o.Config = sc.end(mail.PhaseSet(abi.ServedPhases), 0)
			s := newTestStage(t, m, o)
			if err := runOn(t, s, withClient(fullHook(p, false))); err != nil {
				t.Fatal(err)
			}
			for n, f := range abi.Fields() {
				got := result(t, s, n)
				free := f.Number == abi.FieldStage || f.Number == abi.FieldABIMinor || f.Number == abi.FieldHostVersion
				switch {
				case f.Number == abi.FieldHostVersion: // the test's host has none
				case !granted && !free && f.Type != "int" && got != int64(abi.ErrDenied):
					t.Errorf("%s in %v without a grant gave %d", f.Name, p, got)
				case !granted && !free && f.Type == "int" && got != abi.Absent:
					t.Errorf("%s in %v without a grant gave %d", f.Name, p, got)
				case !granted && !free:
				case known(&f, p) && got < 0:
					t.Errorf("%s in %v gave %d", f.Name, p, got)
				case !known(&f, p) && f.Type == "int" && got != abi.Absent, !known(&f, p) && f.Type != "int" && got != int64(abi.ErrNotFound):
					t.Errorf("%s in %v gave %d, it is not known there", f.Name, p, got)
				}
			}
		}
	}
}

// withClient fills in what the client of fullHook lacks.
func withClient(h *pipeline.Hook) *pipeline.Hook {
	c := &h.Envelope().Client
	if h.Phase() != mail.PhaseTick {
		c.Name, c.TLSVersion, c.TLSCipher, c.User = "client.example.org", "TLS1.3", "TLS_AES_128_GCM_SHA256", "ann"
	}
	return h
}

func TestFieldsOfDelivery(t *testing.T) {
	sc := newScript(t)
	for n, field := range []int{abi.FieldNextHop, abi.FieldRemoteText, abi.FieldLastError, abi.FieldOutcome, abi.FieldRoute} {
		sc.call("get", field, 0, buf(n))
	}
	numbers := []int{sc.call("get_int", abi.FieldAttempt, 0), sc.call("get_int", abi.FieldRemoteCode, 0), sc.call("get_int", abi.FieldRemoteCode, 1)}
	other := sc.call("get", abi.FieldOutcome, 1, buf(9))
	s := scriptStage(t, sc.end(mail.PhaseSet(abi.ServedPhases), 0), new(world).options())
	if err := runOn(t, s, fullHook(mail.PhaseResult, false)); err != nil {
		t.Fatal(err)
	}
	for n, want := range []string{"mx.example.org", "try later", "mx.example.org: 450 4.2.1 try later", "deferred", "internet"} {
		if got := bufferText(t, s, n, result(t, s, n)); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
	for n, want := range []int64{3, 450, abi.Absent} {
		if got := result(t, s, numbers[n]); got != want {
			t.Errorf("number %d is %d, want %d", n, got, want)
		}
	}
	if got := result(t, s, other); got != int64(abi.ErrNotFound) {
		t.Errorf("a recipient without an outcome gave %d", got)
	}
}

func TestFieldsOfTheSession(t *testing.T) {
	sc := newScript(t)
	fields := []int{abi.FieldProtocol, abi.FieldAuthMechanism, abi.FieldPeerCertSHA256, abi.FieldAuthPassword}
	for n, field := range fields {
		sc.call("get", field, 0, buf(n))
	}
	s := scriptStage(t, sc.end(mail.PhaseSet(abi.ServedPhases), 0), new(world).options())
	if err := runOn(t, s, fullHook(mail.PhaseAuth, false)); err != nil {
		t.Fatal(err)
	}
	for n, want := range []string{"ESMTPSA", "PLAIN", strings.Repeat("\x01", 32), "pass\x00word"} {
		if got := bufferText(t, s, n, result(t, s, n)); got != want {
			t.Errorf("field %d: %q, want %q", fields[n], got, want)
		}
	}
}

func TestParametersOfTheEnvelope(t *testing.T) {
	sc := newScript(t)
	sc.call("get", abi.FieldSenderParams, 0, buf(0))
	sc.call("get", abi.FieldRcptParams, 0, buf(1))
	none := sc.call("get", abi.FieldRcptParams, 1, buf(2))
	s := scriptStage(t, sc.end(mail.PhaseSet(abi.ServedPhases), 0), new(world).options())
	if err := runOn(t, s, fullHook(mail.PhaseRcpt, false)); err != nil {
		t.Fatal(err)
	}
	if got := bufferText(t, s, 0, result(t, s, 0)); got != "SIZE=100 BODY=8BITMIME RET=HDRS" {
		t.Errorf("of MAIL: %q", got)
	}
	if got := bufferText(t, s, 1, result(t, s, 1)); got != "NOTIFY=NEVER" || result(t, s, none) != int64(abi.ErrNotFound) {
		t.Errorf("of RCPT: %q, %d", got, result(t, s, none))
	}
}

func TestAnswersOfTheDNS(t *testing.T) {
	w := new(world)
	sc := newScript(t)
	a := sc.call("dns", 1, "a.example.org", buf(0))
	mx := sc.call("dns", 15, "mx.example.org", buf(1))
	s := scriptStage(t, sc.end(allPhases, 0), w.options())
	if err := runOn(t, s, fullHook(mail.PhaseRcpt, false)); err != nil {
		t.Fatal(err)
	}
	want := tlvOf(abi.DNSAuthenticated, "") +
		tlvOf(abi.DNSRecord, tlvOf(abi.DNSTTL, u32(60))+tlvOf(abi.DNSData, "192.0.2.1")) +
		tlvOf(abi.DNSRecord, tlvOf(abi.DNSTTL, u32(1))+tlvOf(abi.DNSData, "192.0.2.2"))
	if got := bufferText(t, s, 0, result(t, s, a)); got != want {
		t.Errorf("A: %q", got)
	}
	want = tlvOf(abi.DNSRecord, tlvOf(abi.DNSTTL, u32(0))+tlvOf(abi.DNSData, "mail.example.org")+tlvOf(abi.DNSPreference, "\x0a\x00"))
	if got := bufferText(t, s, 1, result(t, s, mx)); got != want {
		t.Errorf("MX: %q", got)
	}
	if !slices.Equal(w.asked, []string{"dns a.example.org 1", "dns mx.example.org 15"}) {
		t.Errorf("asked %q", w.asked)
	}
}

func TestRequestsAndAnswers(t *testing.T) {
	w := new(world)
	sc := newScript(t)
	first := sc.call("http", tlvOf(abi.HTTPMethod, "POST")+getPath("x", tlvOf(abi.HTTPHeader, "A: b"), tlvOf(99, "later"), tlvOf(abi.HTTPBody, "ask")), buf(0))
	second := sc.call("http", getPath("y"), buf(1))
	read := sc.call("http_read", 1, int64(3), buf(2))
	end := sc.call("http_read", 1, int64(6), buf(3))
	beyond := sc.call("http_read", 1, int64(1)<<62, buf(3))
	header := sc.call("http_header", 0, "X-ANSWER", buf(4))
	later := sc.call("http", getPath("later", tlvOf(abi.HTTPAtCommit, "")), 0, 0)
	s := scriptStage(t, sc.end(allPhases, 0), w.options())
	h := fullHook(mail.PhaseRcpt, false)
	if err := runOn(t, s, h); err != nil {
		t.Fatal(err)
	}
	if result(t, s, first) != 0 || result(t, s, second) != 1 || result(t, s, end) != 0 || result(t, s, beyond) != 0 || result(t, s, later) != 0 {
		t.Errorf("handles %d, %d; end %d, %d; later %d", result(t, s, first), result(t, s, second), result(t, s, end), result(t, s, beyond), result(t, s, later))
	}
	if got := bufferText(t, s, 0, 12); got != "\xca\x00\x00\x00\x06\x00\x00\x00\x00\x00\x00\x00" {
		t.Errorf("status and size %q", got)
	}
	if got := bufferText(t, s, 2, result(t, s, read)); got != "wer" {
		t.Errorf("body from 3 on: %q", got)
	}
	if got := bufferText(t, s, 4, result(t, s, header)); got != "yes" {
		t.Errorf("header %q", got)
	}
	want := []string{
		"POST https://api.example.org/x [A: b] ask allow [api.example.org] wants []",
		" https://api.example.org/y []  allow [api.example.org] wants []",
	}
	if !slices.Equal(w.asked, want) || len(w.queued) != 0 {
		t.Errorf("asked %q, queued %v", w.asked, w.queued)
	}
	if err := h.Commit(); err != nil || len(w.queued) != 1 || w.queued[0].URL != "https://api.example.org/later" || w.queued[0].Stage != "s" {
		t.Errorf("after the commit %v, %+v", err, w.queued)
	}
}

// TestHandlesEndWithTheHook: an answer is gone in the next hook.
func TestHandlesEndWithTheHook(t *testing.T) {
	sc := newScript(t)
	n := sc.call("http_read", 0, int64(0), buf(0))
	sc.call("http", getPath("x"), buf(0))
	s := scriptStage(t, sc.end(allPhases, 0), new(world).options())
	for range 2 {
		if err := runOn(t, s, fullHook(mail.PhaseRcpt, false)); err != nil {
			t.Fatal(err)
		}
		if got := result(t, s, n); got != int64(abi.ErrBadArgument) {
			t.Errorf("an answer of an earlier hook gave %d", got)
		}
	}
}

// TestDroppedHookSendsNothing: what waits for the commit is gone with a trap.
func TestDroppedHookSendsNothing(t *testing.T) {
	w := new(world)
	o := w.options()
	st := o.Stores["db"].(*memStore)
	sc := newScript(t)
	sc.atInit("store", "db")
	sc.call("kv_put", 0, "k", "v", int64(0), 0)
	sc.call("http", getPath("later", tlvOf(abi.HTTPAtCommit, "")), 0, 0)
	sc.call("emit", emission)
	sc.call("log", 0, 0xffffffff, 1)
	s := scriptStage(t, sc.end(allPhases, 0), o)
	h := fullHook(mail.PhaseMessage, false)
	var f *Fault
	if err := runOn(t, s, h); !errors.As(err, &f) {
		t.Fatal(err)
	}
	h.Drop()
	if len(w.queued) != 0 || len(st.m) != 0 || len(h.Emitted()) != 0 {
		t.Errorf("queued %v, stored %v, emitted %v", w.queued, st.m, h.Emitted())
	}
}

// TestSlowServicesEndWithTheHook: neither DNS nor HTTP last longer than the hook
// may, and the guest is stopped.
func TestSlowServicesEndWithTheHook(t *testing.T) {
	for name, call := range map[string]step{
		"dns": {"dns", 1, "slow.example.org", buf(0)}, "http": {"http", getPath("slow"), buf(0)},
		"timeout": {"http", getPath("slow", tlvOf(abi.HTTPTimeout, u32(1<<31))), buf(0)},
	} {
		o := new(world).options()
		o.Limits.Deadline = 20 * time.Millisecond
		sc := newScript(t)
		sc.call(call[0].(string), call[1:]...)
		for range 1500 { // host calls, in which it is stopped at the latest
			sc.call("now")
		}
		s := scriptStage(t, sc.end(allPhases, 0), o)
		err := runOn(t, s, fullHook(mail.PhaseRcpt, false))
		var f *Fault
		if err != nil && (!errors.As(err, &f) || f.Cause != CauseDeadline) {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil && result(t, s, 0) != int64(abi.ErrTimeout) {
			t.Errorf("%s gave %d", name, result(t, s, 0))
		}
	}
}

func TestFiguresAndSecrets(t *testing.T) {
	w := new(world)
	sc := newScript(t)
	sc.atInit("secret", "token", buf(0))
	sc.call("metric", abi.MetricCounter, "seen;list=a;way=in", int64(2))
	sc.call("metric", abi.MetricGauge, "size", int64(-4))
	sc.call("metric", abi.MetricHistogram, "delay;q=", int64(7))
	s := scriptStage(t, sc.end(allPhases, 0), w.options())
	if got := bufferText(t, s, 0, result(t, s, 0)); got != "s3cret" {
		t.Errorf("secret %q", got)
	}
	if err := runOn(t, s, fullHook(mail.PhaseRcpt, false)); err != nil {
		t.Fatal(err)
	}
	want := []string{"s 0 seen [[list a] [way in]] 2", "s 1 size [] -4", "s 2 delay [[q ]] 7"}
	if !slices.Equal(w.figures, want) {
		t.Errorf("figures %q", w.figures)
	}
}

func TestSecretsOutsideTheGrantAreDenied(t *testing.T) {
	o := new(world).options()
	o.Grant.Secrets, o.Secrets = []string{"mine"}, map[string]string{"mine": "a", "other": "b"}
	if got, _, err := do(t, scriptModule(t), o, inRcpt, nil, step{"secret", "other", buf(0)}); err != nil || got != int64(abi.ErrDenied) {
		t.Errorf("%d, %v", got, err)
	}
}

func TestEmittedMessage(t *testing.T) {
	o := new(world).options()
	quota := o.Emit.(*fixedBucket)
	sc := newScript(t)
	sc.call("emit", emission)
	own := sc.call("emit", tlvOf(abi.EmitRecipient, "you@example.org")+tlvOf(abi.EmitHeader, "A: b\r\n")+tlvOf(abi.EmitBodyOfMessage, ""))
	s := scriptStage(t, sc.end(allPhases, 0), o)
	h := fullHook(mail.PhaseMessage, false)
	if err := runOn(t, s, h); err != nil {
		t.Fatal(err)
	}
	es := h.Emitted()
	if len(es) != 2 || es[0].Sender != "me@example.org" || es[0].Recipients[0] != "you@example.org" || string(es[0].Header) != "Subject: x\r\n" ||
		string(es[0].Body) != "body\r\n" || !es[1].OfMessage || es[1].Sender != "" || result(t, s, own) != 0 || quota.tokens != 48 {
		t.Errorf("emitted %+v, quota %d", es, quota.tokens)
	}
	o.Grant.Read = []string{"envelope"}
	got, _, err := do(t, scriptModule(t), o, inMessage, nil, step{"emit", tlvOf(abi.EmitRecipient, "you@example.org") + tlvOf(abi.EmitHeader, "A: b\r\n") + tlvOf(abi.EmitBodyOfMessage, "")})
	if err != nil || got != int64(abi.ErrDenied) {
		t.Errorf("the body of a message that it may not read: %d, %v", got, err)
	}
}

func TestSplitAndScoreAndQueue(t *testing.T) {
	sc := newScript(t)
	child := sc.call("split", sc.words(1), 1)
	sc.call("use", 1)
	sc.call("hdr_add", 0, "X-Child", "yes")
	gone := sc.call("get", abi.FieldRcpt, 0, buf(0))
	sc.call("use", 0)
	sc.call("score", "A", 250)
	sum := sc.call("get_int", abi.FieldScore, 0)
	sc.call("queue_set", abi.QueueNotBefore, int64(1893456000000))
	s := scriptStage(t, sc.end(allPhases, 0), new(world).options())
	h := fullHook(mail.PhaseMessage, false)
	if err := runOn(t, s, h); err != nil {
		t.Fatal(err)
	}
	if err := h.Commit(); err != nil {
		t.Fatal(err)
	}
	if result(t, s, child) != 1 || result(t, s, gone) != int64(abi.ErrNotFound) || result(t, s, sum) != 750 {
		t.Errorf("child %d, its other recipient %d, score %d", result(t, s, child), result(t, s, gone), result(t, s, sum))
	}
	cs := h.Children()
	if len(cs) != 1 || cs[0].Header.Find("X-Child", -1) < 0 || h.Header().Find("X-Child", -1) >= 0 || !h.Envelope().Recipients[1].Removed {
		t.Errorf("children %+v", cs)
	}
	if h.Envelope().NotBefore.UnixMilli() != 1893456000000 || h.Envelope().Score() != 750 {
		t.Errorf("envelope %+v", h.Envelope())
	}
}

func TestEHLOEdits(t *testing.T) {
	sc := newScript(t)
	sc.call("ehlo_set", abi.EHLORemove, "size")
	sc.call("ehlo_set", abi.EHLOAdd, "X-ROAD a b")
	s := scriptStage(t, sc.end(mail.PhaseSet(abi.ServedPhases), 0), new(world).options())
	h := fullHook(mail.PhaseHelo, false)
	if err := runOn(t, s, h); err != nil {
		t.Fatal(err)
	}
	if got := h.EHLO(); !slices.Equal(got, []string{"PIPELINING", "X-ROAD a b"}) {
		t.Errorf("list %q", got)
	}
}

func TestPartsAreRead(t *testing.T) {
	sc := newScript(t)
	text := sc.call("part_read", 1, abi.PartTextUTF8, int64(0), buf(0))
	tail := sc.call("part_read", 1, abi.PartTextUTF8, int64(2), buf(1))
	data := sc.call("part_read", 2, abi.PartDecoded, int64(0), buf(2))
	raw := sc.call("part_read", 2, abi.PartRaw, int64(0), buf(3))
	end := sc.call("part_read", 2, abi.PartDecoded, int64(3), buf(4))
	s := scriptStage(t, sc.end(allPhases, 0), new(world).options())
	if err := runOn(t, s, fullHook(mail.PhaseMessage, false)); err != nil {
		t.Fatal(err)
	}
	for n, want := range map[int]string{text: "Grüße", tail: "üße", data: "\x00\x01\x02"} {
		if got := bufferText(t, s, n, result(t, s, n)); got != want {
			t.Errorf("step %d: %q, want %q", n, got, want)
		}
	}
	if got := bufferText(t, s, 3, result(t, s, raw)); !strings.HasPrefix(got, "Content-Type: application/octet-stream\r\n") || result(t, s, end) != 0 {
		t.Errorf("raw %q, end %d", got, result(t, s, end))
	}
	o := new(world).options()
	o.Grant.Read = []string{"body"}
	if got, _, err := do(t, scriptModule(t), o, inMessage, nil, step{"part_read", 0, abi.PartRaw, int64(0), buf(0)}); err != nil || got != int64(abi.ErrDenied) {
		t.Errorf("the header, read as part 0: %d, %v", got, err)
	}
	if got, _, err := do(t, scriptModule(t), o, inMessage, nil, step{"part_read", 1, abi.PartRaw, int64(0), buf(0)}); err != nil || got <= 0 {
		t.Errorf("another part: %d, %v", got, err)
	}
}

// TestDryHookChangesNothing: every function that reaches outside of the journal
// answers as usual, and nothing comes of it.
func TestDryHookChangesNothing(t *testing.T) {
	w := new(world)
	o := w.options()
	logger, sink := newLog(hclog.Info)
	o.Logger = logger
	st, b, quota := o.Stores["db"].(*memStore), o.Buckets["b"].(*fixedBucket), o.Emit.(*fixedBucket)
	st.m["n"] = binary.LittleEndian.AppendUint64(nil, 5)
	sc := newScript(t)
	sc.atInit("store", "db")
	sc.atInit("bucket", "b")
	p := int64(outBuffer)
	sc.call("kv_add", 0, "n", int64(2), int64(0), p)
	sc.call("kv_add", 0, "n", int64(2), int64(0), p+8)
	sc.call("kv_add", 0, "new", int64(-1), int64(0), p+16)
	seen := sc.call("kv_get", 0, "n", buf(0))
	sc.call("kv_put", 0, "k", "v", int64(0), 0)
	own := sc.call("kv_add", 0, "k", int64(1), int64(0), p+24)
	sc.call("rate_take", 0, "x", 3, p+32)
	again := sc.call("rate_take", 0, "x", 3, p+40)
	sc.call("emit", emission)
	now := sc.call("http", getPath("x"), buf(1))
	later := sc.call("http", getPath("x", tlvOf(abi.HTTPAtCommit, "")), 0, 0)
	figure := sc.call("metric", 0, "seen", int64(1))
	sc.call("log", abi.LogError, "said by a dry hook")
	dns := sc.call("dns", 1, "a.example.org", buf(2))
	s := scriptStage(t, sc.end(allPhases, 0), o)
	h := fullHook(mail.PhaseMessage, true)
	if err := runOn(t, s, h); err != nil {
		t.Fatal(err)
	}
	if err := h.Commit(); err != nil {
		t.Fatal(err)
	}
	for n, want := range map[int]int64{seen: 8, own: int64(abi.ErrConflict), again: 1, now: int64(abi.ErrUnsupported), later: 0, figure: 0} {
		if got := result(t, s, n); got != want {
			t.Errorf("step %d gave %d, want %d", n, got, want)
		}
	}
	counts := peek(t, s, int(p), 24)
	for n, want := range []int64{7, 9, -1} {
		if got := int64(binary.LittleEndian.Uint64(counts[8*n:])); got != want {
			t.Errorf("count %d is %d, want %d", n, got, want)
		}
	}
	if result(t, s, dns) <= 0 || !slices.Equal(w.asked, []string{"dns a.example.org 1"}) {
		t.Errorf("asked %q", w.asked)
	}
	if len(st.m) != 1 || st.m["n"][0] != 5 || b.tokens != 3 || quota.tokens != 50 || len(w.queued) != 0 || len(w.figures) != 0 {
		t.Errorf("store %v, tokens %d and %d, queued %v, figures %v", st.m, b.tokens, quota.tokens, w.queued, w.figures)
	}
	if strings.Contains(sink.String(), "dry hook") {
		t.Errorf("log %s", sink)
	}
}

// reentrant is a service that calls the stage that waits for it.
type reentrant struct {
	world
	s     *Stage
	inner error // what the inner call came to
}

// Lookup implements Resolver.
func (r *reentrant) Lookup(ctx context.Context, _ string, _ uint16) (Answer, error) {
	_, r.inner = r.s.Run(ctx, fullHook(mail.PhaseMail, false))
	return Answer{}, ErrTimeout
}

// TestNoGuestIsEnteredTwice: while a guest waits in a host function its instance
// is leased, so whatever a service does, nobody calls into it.
func TestNoGuestIsEnteredTwice(t *testing.T) {
	r := new(reentrant)
	o := r.options()
	o.DNS, o.Limits.Instances, o.Limits.Deadline = r, 1, 50*time.Millisecond
	sc := newScript(t)
	sc.call("dns", 1, "a.example.org", buf(0))
	s := scriptStage(t, sc.end(allPhases, 0), o)
	r.s = s
	err := runOn(t, s, fullHook(mail.PhaseRcpt, false))
	var f *Fault
	if err != nil && (!errors.As(err, &f) || f.Cause != CauseDeadline) {
		t.Errorf("the outer call: %v", err)
	}
	if r.inner == nil || errors.As(r.inner, &f) && f.Cause != CausePool {
		t.Errorf("the inner call was made: %v", r.inner)
	}
}
