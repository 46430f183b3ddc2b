// SPDX-License-Identifier: Apache-2.0

package wasmhost

import (
	"errors"
	"strings"
	"testing"

	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/sdk/abi"
)

// The matrix is every host function times what can become of a call: ok, not
// found, wrong phase, denied, bad pointer, short buffer, limit. usual has the one
// good call of each function that the others are made of.

// step is one call of a script.
type step []any

// out is the address of a result in guest memory, as an argument.
type out int64

const outBuffer = out(scriptBuffers + 20*bufferSize)

// usual is a call that works.
type usual struct {
	phase mail.Phase
	init  []step
	call  step
	want  int64 // -1<<62: any result that is no error
}

const anyResult = -1 << 62

const (
	inMessage = mail.PhaseMessage
	inRcpt    = mail.PhaseRcpt
)

func usualCalls() map[string]usual {
	db, bucket := []step{{"store", "db"}}, []step{{"bucket", "b"}}
	return map[string]usual{
		"get":          {inRcpt, nil, step{"get", abi.FieldSender, 0, buf(0)}, 15},
		"get_int":      {inRcpt, nil, step{"get_int", abi.FieldRcptCount, 0}, 2},
		"snapshot":     {inMessage, nil, step{"snapshot", abi.SnapshotJSON, buf(0)}, anyResult},
		"reply":        {inRcpt, nil, step{"reply", 250, 0, "ok"}, 0},
		"rcpt_verdict": {inMessage, nil, step{"rcpt_verdict", 0, abi.VerdictReject, 550, 0, "no"}, 0},
		"hdr_find":     {inMessage, nil, step{"hdr_find", "x-fold", -1}, 1},
		"hdr_get":      {inMessage, nil, step{"hdr_get", 1, abi.HdrUnfolded, buf(0)}, 7},
		"hdr_add":      {inMessage, nil, step{"hdr_add", 0, "X-New", "value"}, 4},
		"hdr_set":      {inMessage, nil, step{"hdr_set", 1, "value"}, 0},
		"hdr_del":      {inMessage, nil, step{"hdr_del", 1}, 0},
		"rcpt_add":     {inMessage, nil, step{"rcpt_add", "zoe@example.test"}, 2},
		"rcpt_set":     {inMessage, nil, step{"rcpt_set", 1, "zoe@example.test"}, 0},
		"rcpt_del":     {inMessage, nil, step{"rcpt_del", 1}, 0},
		"sender_set":   {inMessage, nil, step{"sender_set", "new@example.org"}, 0},
		"msg_size":     {inMessage, nil, step{"msg_size", abi.ViewMessage}, int64(len(mimeMessage))},
		"msg_read":     {mail.PhaseBody, nil, step{"msg_read", abi.ViewChunk, int64(1), buf(0)}, 4},
		"body_write":   {inMessage, nil, step{"body_write", "new body", 0}, 0},
		"part_count":   {inMessage, nil, step{"part_count"}, 3},
		"part_get":     {inMessage, nil, step{"part_get", 1, abi.PartCharset, buf(0)}, 10},
		"part_read":    {inMessage, nil, step{"part_read", 1, abi.PartTextUTF8, int64(0), buf(0)}, 7},
		"meta_get":     {inRcpt, nil, step{"meta_get", abi.ScopeMessage, "other.note", buf(0)}, 2},
		"meta_set":     {inRcpt, nil, step{"meta_set", abi.ScopeMessage, "key", "value"}, 0},
		"score":        {inRcpt, nil, step{"score", "BAD_HELO", -1500}, 0},
		"split":        {inMessage, nil, step{"split", outBuffer, 1}, 1}, // index 0
		"use":          {inMessage, nil, step{"use", 0}, 0},
		"route_set":    {inMessage, nil, step{"route_set", 0, tlvOf(abi.RouteName, "internet")}, 0},
		"queue_set":    {inMessage, nil, step{"queue_set", abi.QueuePriority, int64(-5)}, 0},
		"label_set":    {inMessage, nil, step{"label_set", abi.LabelTenant, "shop"}, 0},
		"emit":         {inMessage, nil, step{"emit", emission}, 0},
		"store":        {inRcpt, nil, step{"store", "db"}, 0},
		"kv_get":       {inRcpt, db, step{"kv_get", 0, "there", buf(0)}, 5},
		"kv_put":       {inRcpt, db, step{"kv_put", 0, "k", "v", int64(1000), 0}, 0},
		"kv_del":       {inRcpt, db, step{"kv_del", 0, "k"}, 0},
		"kv_add":       {inRcpt, db, step{"kv_add", 0, "n", int64(3), int64(0), outBuffer}, 0},
		"kv_cas":       {inRcpt, db, step{"kv_cas", 0, "there", "value", "v", int64(0)}, 0},
		"bucket":       {inRcpt, nil, step{"bucket", "b"}, 0},
		"rate_take":    {inRcpt, bucket, step{"rate_take", 0, "k", 2, outBuffer}, 1},
		"dns":          {inRcpt, nil, step{"dns", 1, "a.example.org", buf(0)}, 6 + 2*6 + 2*(6+4+6+9)},
		"http":         {inRcpt, nil, step{"http", getPath("x"), buf(0)}, 0},
		"http_read":    {inRcpt, nil, step{"http_read", 0, int64(2), buf(0)}, 4},
		"http_header":  {inRcpt, nil, step{"http_header", 0, "x-answer", buf(0)}, 3},
		"config":       {inRcpt, nil, step{"config", buf(0)}, anyResult},
		"secret":       {inRcpt, nil, step{"secret", "token", buf(0)}, 6},
		"log":          {inRcpt, nil, step{"log", abi.LogInfo, "a line"}, 0},
		"log_on":       {inRcpt, nil, step{"log_on", abi.LogInfo}, anyResult},
		"metric":       {inRcpt, nil, step{"metric", abi.MetricCounter, "seen;list=a", int64(1)}, 0},
		"now":          {inRcpt, nil, step{"now"}, anyResult},
		"random":       {inRcpt, nil, step{"random", buf(0)}, bufferSize},
		"ehlo_set":     {mail.PhaseHelo, nil, step{"ehlo_set", abi.EHLOAdd, "X-POSTROAD yes"}, 0},
	}
}

// answered makes the request whose answer http_read and http_header read.
func answered(name string) []step {
	if name == "http_read" || name == "http_header" {
		return []step{{"http", getPath("x"), buf(1)}}
	}
	return nil
}

// do runs steps in a phase and returns the result of the last and its stage. The
// stage's store has the key "there". m is script.wasm.
func do(t testing.TB, m *Module, o StageOptions, phase mail.Phase, init []step, steps ...step) (int64, *Stage, error) {
	t.Helper()
	sc := newScript(t)
	for _, st := range init {
		sc.atInit(st[0].(string), st[1:]...)
	}
	n := 0
	for _, st := range steps {
		n = sc.call(st[0].(string), st[1:]...)
	}
	if st, ok := o.Stores["db"].(*memStore); ok {
		st.m["there"] = []byte("value")
	}
	o.Config = sc.end(mail.PhaseSet(abi.ServedPhases), 0)
	s := newTestStage(t, m, o)
	if err := runOn(t, s, fullHook(phase, false)); err != nil {
		return 0, s, err
	}
	return result(t, s, n), s, nil
}

func scriptModule(t testing.TB) *Module { return load(t, newHost(t, Options{}), "script.wasm") }

func TestMatrixOK(t *testing.T) {
	m := scriptModule(t)
	calls := usualCalls()
	for _, f := range abi.Functions() {
		if !f.Served {
			continue
		}
		u, ok := calls[f.Name]
		if !ok {
			t.Errorf("%s has no usual call", f.Name)
			continue
		}
		got, _, err := do(t, m, new(world).options(), u.phase, u.init, append(answered(f.Name), u.call)...)
		if err != nil || got != u.want && (u.want != anyResult || got < 0) {
			t.Errorf("%s: %d, %v; want %d", f.Name, got, err, u.want)
		}
	}
}

// TestMatrixWrongPhase calls every function in every phase that the ABI does not
// give it, pr_init included.
func TestMatrixWrongPhase(t *testing.T) {
	for _, phase := range servedPhasesList() {
		checkClosed(t, phase.String(), func(f *abi.Function) bool { return f.Phases>>uint(phase)&1 != 0 }, phase, false)
	}
	checkClosed(t, "pr_init", func(f *abi.Function) bool { return f.Init }, inRcpt, true)
}

func checkClosed(t *testing.T, when string, open func(*abi.Function) bool, phase mail.Phase, init bool) {
	t.Helper()
	sc := newScript(t)
	var names []string
	for _, f := range abi.Functions() {
		if !f.Served || open(&f) {
			continue
		}
		names = append(names, f.Name)
		if init {
			sc.atInit(f.Name)
		} else {
			sc.call(f.Name)
		}
	}
	s := scriptStage(t, sc.end(mail.PhaseSet(abi.ServedPhases), 0), new(world).options())
	if !init {
		if err := runOn(t, s, fullHook(phase, false)); err != nil {
			t.Fatal(err)
		}
	}
	for n, name := range names {
		if got := result(t, s, n); got != int64(abi.ErrWrongPhase) {
			t.Errorf("%s in %s gave %d", name, when, got)
		}
	}
}

// TestMatrixDenied calls every function that needs a grant without one.
func TestMatrixDenied(t *testing.T) {
	m := scriptModule(t)
	free := map[string]bool{"get": true, "get_int": true} // they look at the field: see TestFieldsByPhase
	for name, u := range usualCalls() {
		o := new(world).options()
		o.Grant = Grant{}
		got, _, err := do(t, m, o, u.phase, u.init, append(answered(name), u.call)...)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if grant := newImports().known[name].Grant; grant != "" && !free[name] && got != int64(abi.ErrDenied) {
			t.Errorf("%s without %s gave %d", name, grant, got)
		} else if grant == "" && got < 0 {
			t.Errorf("%s needs no grant and gave %d", name, got)
		}
	}
}

// TestMatrixBadPointer puts every pointer of every call behind the memory: that
// traps, and does not return.
func TestMatrixBadPointer(t *testing.T) {
	m := scriptModule(t)
	const memory = 8 << 16
	pointers := 0
	for name, u := range usualCalls() {
		for at, a := range u.call[1:] {
			var bad []any
			switch a.(type) {
			case string, buf:
				bad = []any{[2]int64{memory - 1, 2}, [2]int64{0xffffffff, 1}, [2]int64{1, 0xffffffff}, [2]int64{memory, 0x80000000}}
			case out:
				bad = []any{int64(memory - 3), int64(0xfffffffc)}
			default:
				continue
			}
			for _, b := range bad {
				pointers++
				call := append(step{}, u.call...)
				call[at+1] = b
				_, _, err := do(t, m, new(world).options(), u.phase, u.init, append(answered(name), call)...)
				var f *Fault
				if !errors.As(err, &f) || f.Cause != CauseTrap || !strings.Contains(f.Detail, errRange.Error()) {
					t.Errorf("%s with %v as argument %d: %v", name, b, at, err)
				}
			}
		}
	}
	if pointers < 200 {
		t.Errorf("only %d bad pointers", pointers)
	}
}

// TestMatrixShortBuffer gives every function that writes a buffer of one octet:
// the true length comes back and nothing is written; what reads piece by piece
// reads one.
func TestMatrixShortBuffer(t *testing.T) {
	m := scriptModule(t)
	reads := map[string]bool{"msg_read": true, "part_read": true, "http_read": true, "random": true}
	for name, u := range usualCalls() {
		at := len(u.call) - 1
		if _, ok := u.call[at].(buf); !ok {
			continue
		}
		p, _ := buffer(2)
		call := append(step{}, u.call...)
		call[at] = [2]int64{p, 1}
		got, s, err := do(t, m, new(world).options(), u.phase, u.init, append(answered(name), call)...)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		want := u.want
		switch {
		case name == "http":
			want = int64(abi.ErrBadArgument)
		case reads[name]:
			want = 1
		}
		if got != want && (want != anyResult || got < 2) {
			t.Errorf("%s with one octet gave %d, want %d", name, got, want)
		}
		after := bufferText(t, s, 2, 2)
		if after[1] != 0 || !reads[name] && after[0] != 0 {
			t.Errorf("%s wrote %q into one octet", name, after)
		}
	}
}

// TestMatrixErrors has the errors that a function gives for its arguments: not
// found, bad argument, unsupported, conflict, timeout, input/output.
func TestMatrixErrors(t *testing.T) {
	m := scriptModule(t)
	db, bucket := []step{{"store", "db"}}, []step{{"bucket", "b"}}
	notFound, bad, unsupported := abi.ErrNotFound, abi.ErrBadArgument, abi.ErrUnsupported
	for _, c := range []struct {
		phase mail.Phase
		init  []step
		call  step
		want  abi.Errno
	}{
		{inRcpt, nil, step{"get", abi.FieldRDNS, 0, buf(0)}, notFound},
		{inRcpt, nil, step{"get", abi.FieldRcpt, 9, buf(0)}, notFound},
		{inRcpt, nil, step{"get", abi.FieldRcptCount, 0, buf(0)}, bad},
		{inRcpt, nil, step{"get", 999, 0, buf(0)}, unsupported},
		{inRcpt, nil, step{"get", -1, 0, buf(0)}, unsupported},
		{inRcpt, nil, step{"snapshot", 2, buf(0)}, unsupported},
		{inRcpt, nil, step{"reply", 99, 0, "x"}, bad},
		{inRcpt, nil, step{"reply", 550, 0, "a\r\nb"}, bad},
		{inRcpt, nil, step{"reply", 550, 0, "a\x00b"}, bad},
		{inMessage, nil, step{"rcpt_verdict", 9, abi.VerdictReject, 0, 0, ""}, notFound},
		{inMessage, nil, step{"rcpt_verdict", 0, 99, 0, 0, ""}, bad},
		{inMessage, nil, step{"hdr_find", "x-none", -1}, notFound},
		{inMessage, nil, step{"hdr_get", 99, 0, buf(0)}, notFound},
		{inMessage, nil, step{"hdr_get", 0, 99, buf(0)}, unsupported},
		{inMessage, nil, step{"hdr_add", 0, "X New", "v"}, bad},
		{inMessage, nil, step{"hdr_add", 0, "X-New", "v\nBcc: x"}, bad},
		{inMessage, nil, step{"hdr_add", 999, "X-New", "v"}, notFound},
		{inMessage, nil, step{"hdr_set", 99, "v"}, notFound},
		{inMessage, nil, step{"hdr_set", 0, "v\r\n\r\nbody"}, bad},
		{inMessage, nil, step{"hdr_del", -1}, notFound},
		{inMessage, nil, step{"rcpt_add", "no address"}, bad},
		{inMessage, nil, step{"rcpt_add", "a@b\r\nDATA"}, bad},
		{inMessage, nil, step{"rcpt_set", 9, "a@example.org"}, notFound},
		{inMessage, nil, step{"rcpt_del", -1}, notFound},
		{inMessage, nil, step{"sender_set", "a@b@c d"}, bad},
		{inMessage, nil, step{"msg_size", 7}, bad},
		{inMessage, nil, step{"msg_size", abi.ViewChunk}, abi.ErrWrongPhase},
		{mail.PhaseBody, nil, step{"msg_read", abi.ViewBody, int64(0), buf(0)}, abi.ErrWrongPhase},
		{inMessage, nil, step{"msg_read", abi.ViewBody, int64(-1), buf(0)}, bad},
		{inMessage, nil, step{"part_get", 9, 0, buf(0)}, notFound},
		{inMessage, nil, step{"part_get", 0, 99, buf(0)}, unsupported},
		{inMessage, nil, step{"part_get", 1, abi.PartFilename, buf(0)}, notFound},
		{inMessage, nil, step{"part_read", 9, 0, int64(0), buf(0)}, notFound},
		{inMessage, nil, step{"part_read", 1, 9, int64(0), buf(0)}, unsupported},
		{inMessage, nil, step{"part_read", 2, abi.PartTextUTF8, int64(0), buf(0)}, unsupported},
		{inMessage, nil, step{"part_read", 1, 0, int64(-1), buf(0)}, bad},
		{inRcpt, nil, step{"meta_get", 0, "none", buf(0)}, notFound},
		{inRcpt, nil, step{"meta_get", 9, "other.note", buf(0)}, notFound},
		{inRcpt, nil, step{"meta_set", 9, "k", "v"}, bad},
		{inRcpt, nil, step{"meta_set", 0, "", "v"}, bad},
		{inRcpt, nil, step{"score", "", 1}, bad},
		{inRcpt, nil, step{"score", "A B", 1}, bad},
		{inRcpt, nil, step{"score", "A\r\nB", 1}, bad},
		{inMessage, nil, step{"split", outBuffer, 0}, bad},
		{inMessage, nil, step{"split", outBuffer, 3}, bad},
		{inMessage, nil, step{"split", outBuffer, 2}, bad}, // index 0 twice
		{inMessage, nil, step{"split", outBuffer, -1}, bad},
		{inMessage, nil, step{"use", 1}, notFound},
		{inMessage, nil, step{"use", -1}, notFound},
		{inMessage, nil, step{"route_set", 9, tlvOf(abi.RouteName, "internet")}, notFound},
		{inMessage, nil, step{"route_set", 0, "\x01"}, bad},
		{inMessage, nil, step{"route_set", 0, tlvOf(abi.RouteNextHop, "10.0.0.1:25")}, abi.ErrDenied},
		{inMessage, nil, step{"queue_set", 99, int64(0)}, unsupported},
		{inMessage, nil, step{"queue_set", abi.QueuePriority, int64(101)}, bad},
		{inMessage, nil, step{"queue_set", abi.QueueExpires, int64(-1)}, bad},
		{mail.PhaseResult, nil, step{"queue_set", abi.QueuePriority, int64(1)}, abi.ErrWrongPhase},
		{inMessage, nil, step{"label_set", 99, "a"}, unsupported},
		{inMessage, nil, step{"label_set", abi.LabelTenant, "a b"}, bad},
		{inMessage, nil, step{"label_set", abi.LabelTenant, strings.Repeat("a", 65)}, bad},
		{inMessage, nil, step{"emit", "\x01\x00\xff\xff\xff\xff"}, bad},
		{inMessage, nil, step{"emit", ""}, bad},
		{inMessage, nil, step{"emit", tlvOf(abi.EmitRecipient, "no address") + tlvOf(abi.EmitHeader, "A: b\r\n")}, bad},
		{inMessage, nil, step{"emit", tlvOf(abi.EmitRecipient, "a@example.org") + tlvOf(abi.EmitHeader, "A: b\r\n\r\n.\r\nMAIL\r\n")}, bad},
		{inMessage, nil, step{"emit", tlvOf(abi.EmitRecipient, strings.Repeat("a", 999)) + tlvOf(abi.EmitHeader, "A: b\r\n")}, bad},
		{inRcpt, nil, step{"store", "other"}, abi.ErrDenied},
		{inRcpt, db, step{"kv_get", 0, "none", buf(0)}, notFound},
		{inRcpt, db, step{"kv_get", 1, "none", buf(0)}, bad},
		{inRcpt, db, step{"kv_get", 0, "", buf(0)}, bad},
		{inRcpt, db, step{"kv_put", 0, "there", "v", int64(0), abi.KVIfAbsent}, abi.ErrConflict},
		{inRcpt, db, step{"kv_put", 0, "k", "v", int64(0), 99}, bad},
		{inRcpt, db, step{"kv_put", -1, "k", "v", int64(0), 0}, bad},
		{inRcpt, db, step{"kv_del", 7, "k"}, bad},
		{inRcpt, db, step{"kv_add", 0, "there", int64(1), int64(0), outBuffer}, abi.ErrConflict},
		{inRcpt, db, step{"kv_add", 0, "n", int64(1), int64(-1), outBuffer}, bad},
		{inRcpt, db, step{"kv_cas", 0, "there", "other", "v", int64(0)}, abi.ErrConflict},
		{inRcpt, db, step{"kv_cas", 0, "none", "", "v", int64(0)}, abi.ErrConflict},
		{inRcpt, nil, step{"bucket", "other"}, abi.ErrDenied},
		{inRcpt, bucket, step{"rate_take", 1, "k", 1, outBuffer}, bad},
		{inRcpt, bucket, step{"rate_take", 0, "k", 0, outBuffer}, bad},
		{inRcpt, nil, step{"dns", 1, "none.example.org", buf(0)}, notFound},
		{inRcpt, nil, step{"dns", 1, "", buf(0)}, bad},
		{inRcpt, nil, step{"dns", 1, strings.Repeat("a", 1025), buf(0)}, bad},
		{inRcpt, nil, step{"dns", 1 << 16, "a.example.org", buf(0)}, unsupported},
		{inRcpt, nil, step{"dns", -1, "a.example.org", buf(0)}, unsupported},
		{inRcpt, nil, step{"dns", 1, "big.example.org", buf(0)}, abi.ErrLimit},
		{inRcpt, nil, step{"dns", 1, "sick.example.org", buf(0)}, abi.ErrIO},
		{inRcpt, nil, step{"http", "", buf(0)}, bad},
		{inRcpt, nil, step{"http", "\x02\x00\x05\x00\x00\x00http", buf(0)}, bad},
		{inRcpt, nil, step{"http", getPath("x", tlvOf(abi.HTTPTimeout, "abc")), buf(0)}, bad},
		{inRcpt, nil, step{"http", getPath("slow", tlvOf(abi.HTTPTimeout, u32(5))), buf(0)}, abi.ErrTimeout},
		{inRcpt, nil, step{"http", getPath("denied"), buf(0)}, abi.ErrDenied},
		{inRcpt, nil, step{"http", getPath("bigger"), buf(0)}, abi.ErrLimit},
		{inRcpt, nil, step{"http", getPath("x", strings.Repeat(tlvOf(abi.HTTPHeader, "A: b"), 65)), buf(0)}, abi.ErrLimit},
		{inRcpt, nil, step{"http", tlvOf(abi.HTTPURL, "https://x/") + tlvOf(abi.HTTPAtCommit, ""), buf(0)}, abi.ErrDenied},
		{inRcpt, nil, step{"http_read", 0, int64(0), buf(0)}, bad},
		{inRcpt, nil, step{"http_header", 0, "x", buf(0)}, bad},
		{inRcpt, nil, step{"secret", "none", buf(0)}, notFound},
		{inRcpt, nil, step{"metric", 0, "Bad Name", int64(1)}, bad},
		{inRcpt, nil, step{"metric", 0, "a;stage=x", int64(1)}, bad},
		{inRcpt, nil, step{"metric", 0, "a;b=1;b=2", int64(1)}, bad},
		{inRcpt, nil, step{"metric", 0, "a;b", int64(1)}, bad},
		{inRcpt, nil, step{"metric", 0, "a;b=\xff", int64(1)}, bad},
		{inRcpt, nil, step{"metric", 0, "a;b=1;c=1;d=1;e=1;f=1", int64(1)}, bad},
		{inRcpt, nil, step{"metric", 0, "a", int64(-1)}, bad},
		{inRcpt, nil, step{"metric", 3, "a", int64(1)}, unsupported},
		{mail.PhaseHelo, nil, step{"ehlo_set", abi.EHLORemove, "NOTHING"}, notFound},
		{mail.PhaseHelo, nil, step{"ehlo_set", abi.EHLOAdd, "SIZE 5"}, abi.ErrConflict},
		{mail.PhaseHelo, nil, step{"ehlo_set", abi.EHLOAdd, "X\r\n250 Y"}, bad},
		{mail.PhaseHelo, nil, step{"ehlo_set", 7, "X"}, bad},
	} {
		got, _, err := do(t, m, new(world).options(), c.phase, c.init, c.call)
		if err != nil || got != int64(c.want) {
			t.Errorf("%.80q in %v: %d, %v; want %d (%v)", c.call, c.phase, got, err, c.want, c.want)
		}
	}
}

// TestMatrixLimits uses up what one call may use of each function.
func TestMatrixLimits(t *testing.T) {
	db := []step{{"store", "db"}}
	for _, c := range []struct {
		name  string
		limit int
		phase mail.Phase
		init  []step
		call  step
	}{
		{"header edits", maxHeaderEdits, inMessage, nil, step{"hdr_set", 0, "x"}},
		{"bodies", maxBodies, inMessage, nil, step{"body_write", "x", abi.WriteStart}},
		{"store accesses", maxKVOps, inRcpt, db, step{"kv_get", 0, "k", buf(0)}},
		{"scores", maxScores, inRcpt, nil, step{"score", "A", 1}},
		{"splits", 16, inMessage, nil, step{"split", outBuffer, 1}},
		{"emissions", 10, inMessage, nil, step{"emit", emission}},
		{"questions", maxLookups, inRcpt, nil, step{"dns", 1, "a.example.org", buf(0)}},
		{"requests", maxRequests, inRcpt, nil, step{"http", getPath("x"), buf(0)}},
		{"queued requests", maxRequests, inRcpt, nil, step{"http", getPath("x", tlvOf(abi.HTTPAtCommit, "")), 0, 0}},
		{"answers", maxAnswerBodies / maxAnswerBody, inRcpt, nil, step{"http", getPath("big"), buf(0)}},
		{"figures", maxMetrics, inRcpt, nil, step{"metric", 0, "a", int64(1)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			sc := newScript(t)
			for _, st := range c.init {
				sc.atInit(st[0].(string), st[1:]...)
			}
			if c.name == "splits" { // the script must give each a recipient
				for range c.limit {
					sc.call("rcpt_add", "x@example.org")
				}
			}
			at := sc.calls
			for n := range c.limit + 1 {
				if c.name == "splits" {
					sc.call("split", sc.words(n), 1)
					continue
				}
				sc.call(c.call[0].(string), c.call[1:]...)
			}
			s := scriptStage(t, sc.end(mail.PhaseSet(abi.ServedPhases), 0), new(world).options())
			if err := runOn(t, s, fullHook(c.phase, false)); err != nil {
				t.Fatal(err)
			}
			if got := result(t, s, at+c.limit-1); got == int64(abi.ErrLimit) {
				t.Errorf("call %d is refused already", c.limit)
			}
			if got := result(t, s, at+c.limit); got != int64(abi.ErrLimit) {
				t.Errorf("call %d gave %d", c.limit+1, got)
			}
		})
	}
}

// TestMatrixQuotas has the limits that are not of the call: the stage's quota of
// messages, the series of its figures, its line of requests.
func TestMatrixQuotas(t *testing.T) {
	m := scriptModule(t)
	for name, call := range map[string]step{
		"emit": {"emit", emission}, "metric": {"metric", 0, "a", int64(1)},
		"http": {"http", getPath("x", tlvOf(abi.HTTPAtCommit, "")), 0, 0},
	} {
		o := (&world{full: true}).options()
		o.Emit = &fixedBucket{}
		if got, _, err := do(t, m, o, inMessage, nil, call); err != nil || got != int64(abi.ErrLimit) {
			t.Errorf("%s: %d, %v", name, got, err)
		}
	}
}

// TestMatrixWithoutServices: a host that lacks a service says so.
func TestMatrixWithoutServices(t *testing.T) {
	m := scriptModule(t)
	for name, want := range map[string]int64{"dns": int64(abi.ErrUnsupported), "http": int64(abi.ErrUnsupported), "metric": 0, "emit": 0} {
		u := usualCalls()[name]
		o := new(world).options()
		o.DNS, o.HTTP, o.Metrics, o.Emit = nil, nil, nil, nil
		if got, _, err := do(t, m, o, inMessage, u.init, u.call); err != nil || got != want {
			t.Errorf("%s: %d, %v; want %d", name, got, err, want)
		}
	}
}
