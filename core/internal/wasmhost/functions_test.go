// SPDX-License-Identifier: Apache-2.0

package wasmhost

import (
	"context"
	"encoding/binary"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/sdk/abi"
)

func TestEveryServedFunctionIsImplemented(t *testing.T) {
	have := functions()
	for _, f := range abi.Functions() {
		if f.Served != (have[f.Name] != nil) {
			t.Errorf("%s: served by the ABI %v, by the host %v", f.Name, f.Served, have[f.Name] != nil)
		}
	}
}

func TestFields(t *testing.T) {
	env := testEnvelope()
	env.Client.TLSVersion = ""
	cases := []struct {
		field, idx int
		want       string
		err        abi.Errno
	}{
		{abi.FieldSessionID, 0, "01SESSION", 0},
		{abi.FieldMessageID, 0, "01MESSAGE", 0},
		{abi.FieldStage, 0, "s", 0},
		{abi.FieldClientIP, 0, "192.0.2.1", 0},
		{abi.FieldHelo, 0, "client.example.org", 0},
		{abi.FieldListener, 0, "inbound", 0},
		{abi.FieldSender, 0, "ann@example.org", 0},
		{abi.FieldOriginalSender, 0, "ann@example.org", 0},
		{abi.FieldSenderParams, 0, "SIZE=100 BODY=8BITMIME", 0},
		{abi.FieldRcpt, 1, "eve@example.test", 0},
		{abi.FieldOriginalRcpt, 0, "bob@example.test", 0},
		{abi.FieldOriginalRcpt, 1, "", abi.ErrNotFound},
		{abi.FieldRcpt, 2, "", abi.ErrNotFound},
		{abi.FieldRcpt, -1, "", abi.ErrNotFound},
		{abi.FieldTLSVersion, 0, "", abi.ErrNotFound},
		{abi.FieldNextHop, 0, "", abi.ErrNotFound},
		{abi.FieldRcptCount, 0, "", abi.ErrBadArgument},
		{999, 0, "", abi.ErrUnsupported},
	}
	sc := newScript(t)
	for n, c := range cases {
		sc.call("get", c.field, c.idx, buf(n))
	}
	s := scriptStage(t, sc.end(allPhases, 0), StageOptions{Grant: everything()})
	run(t, s, newHook(mail.PhaseMail, 0, env))
	for n, c := range cases {
		got := result(t, s, n)
		if c.err != 0 {
			if got != int64(c.err) {
				t.Errorf("field %d[%d]: result %d, want %d", c.field, c.idx, got, c.err)
			}
			continue
		}
		if text := bufferText(t, s, n, got); text != c.want {
			t.Errorf("field %d[%d]: %q, want %q", c.field, c.idx, text, c.want)
		}
	}
}

func TestIntegerFields(t *testing.T) {
	cases := []struct {
		field int
		want  int64
	}{
		{abi.FieldClientPort, 4025}, {abi.FieldRcptCount, 2}, {abi.FieldDeclaredSize, 100},
		{abi.FieldFlags, abi.Flag8BitMIME}, {abi.FieldMessageSize, int64(len(testMessage))},
		{abi.FieldHeaderCount, 2}, {abi.FieldABIMinor, abi.Minor}, {abi.FieldAttempt, abi.Absent}, {abi.FieldSender, abi.Absent},
	}
	sc := newScript(t)
	for _, c := range cases {
		sc.call("get_int", c.field, 0)
	}
	s := scriptStage(t, sc.end(allPhases, 0), StageOptions{Grant: everything()})
	run(t, s, newHook(mail.PhaseMessage, 0, testEnvelope()))
	for n, c := range cases {
		if got := result(t, s, n); got != c.want {
			t.Errorf("field %d: %d, want %d", c.field, got, c.want)
		}
	}
	run(t, s, newHook(mail.PhaseMail, 0, testEnvelope()))
	if got := result(t, s, 4); got != abi.Absent {
		t.Errorf("message_size in phase mail is %d, want absent", got)
	}
}

func TestTrueLengthWhenItDoesNotFit(t *testing.T) {
	sc := newScript(t)
	at, _ := buffer(0)
	sc.call("get", abi.FieldSender, 0, at, 3)
	s := scriptStage(t, sc.end(allPhases, 0), StageOptions{Grant: everything()})
	run(t, s, newHook(mail.PhaseMail, 0, testEnvelope()))
	if got := result(t, s, 0); got != int64(len("ann@example.org")) {
		t.Errorf("result %d is not the true length", got)
	}
	if b := bufferText(t, s, 0, 3); b != "\x00\x00\x00" {
		t.Errorf("octets %q were written although they do not fit", b)
	}
}

func TestHeaderEditsAreSeenAtOnceAndCommitted(t *testing.T) {
	sc := newScript(t)
	add := sc.call("hdr_add", 0, "X-New", "first")
	find := sc.call("hdr_find", "x-new", -1)
	decoded := sc.call("hdr_get", 0, abi.HdrDecoded, buf(0))
	unfolded := sc.call("hdr_get", 1, abi.HdrUnfolded, buf(1))
	raw := sc.call("hdr_get", 1, abi.HdrRaw, buf(2))
	name := sc.call("hdr_get", 1, abi.HdrName, buf(3))
	set := sc.call("hdr_set", 1, "changed")
	inject := sc.call("hdr_add", -1, "X-Bad", "a\r\nBcc: b")
	del := sc.call("hdr_del", 0)
	gone := sc.call("hdr_get", 0, abi.HdrName, buf(4))
	s := scriptStage(t, sc.end(allPhases, 0), StageOptions{Grant: everything()})
	h := newHook(mail.PhaseMessage, 0, testEnvelope())
	run(t, s, h)

	if id := result(t, s, add); id != 2 || result(t, s, find) != id {
		t.Errorf("hdr_add gave id %d, hdr_find %d", id, result(t, s, find))
	}
	for n, want := range map[int]string{0: "Grüße", 1: "one two", 2: "X-Fold: one\r\n two\r\n", 3: "X-Fold"} {
		if got := bufferText(t, s, n, result(t, s, []int{decoded, unfolded, raw, name}[n])); got != want {
			t.Errorf("buffer %d is %q, want %q", n, got, want)
		}
	}
	if result(t, s, set) != 0 || result(t, s, del) != 0 {
		t.Errorf("hdr_set gave %d, hdr_del %d", result(t, s, set), result(t, s, del))
	}
	if result(t, s, inject) != int64(abi.ErrBadArgument) || result(t, s, gone) != int64(abi.ErrNotFound) {
		t.Errorf("line break gave %d, deleted field %d", result(t, s, inject), result(t, s, gone))
	}
	if err := h.Commit(); err != nil {
		t.Fatal(err)
	}
	if got := string(h.Header().AppendTo(nil)); got != "X-New: first\r\nX-Fold: changed\r\n\r\n" {
		t.Errorf("committed header %q", got)
	}
}

func TestEnvelopeEdits(t *testing.T) {
	sc := newScript(t)
	sc.call("sender_set", "new@example.org")
	sc.call("get", abi.FieldSender, 0, buf(0))
	added := sc.call("rcpt_add", "zoe@example.test")
	sc.call("rcpt_set", 0, "bobby@example.test")
	sc.call("rcpt_del", 1)
	bad := sc.call("rcpt_add", "not an address")
	params := sc.call("rcpt_add", "a@example.test\x00NOTIFY=NEVER")
	named := sc.call("route_set", -1, tlvOf(abi.RouteName, "internet"))
	hop := sc.call("route_set", 0, tlvOf(abi.RouteNextHop, "mx.example.org:25"))
	denied := sc.call("route_set", 0, tlvOf(abi.RouteNextHop, "127.0.0.1:25"))
	cut := sc.call("route_set", 0, tlvOf(abi.RouteName, "internet")[:7])
	sc.call("meta_set", 0, "seen", "yes")
	own := sc.call("meta_get", 0, "seen", buf(1))
	full := sc.call("meta_get", 0, "other.note", buf(2))
	s := scriptStage(t, sc.end(allPhases, 0), StageOptions{Grant: everything()})
	env := testEnvelope()
	env.Meta = map[string]string{"other.note": "hi"}
	h := newHook(mail.PhaseMessage, 0, env)
	run(t, s, h)

	want := map[int]int64{added: 2, bad: int64(abi.ErrBadArgument), params: int64(abi.ErrUnsupported), named: 0, hop: 0,
		denied: int64(abi.ErrDenied), cut: int64(abi.ErrBadArgument), own: 3, full: 2}
	for n, r := range want {
		if got := result(t, s, n); got != r {
			t.Errorf("step %d gave %d, want %d", n, got, r)
		}
	}
	if got := bufferText(t, s, 0, 15); got != "new@example.org" {
		t.Errorf("sender is seen as %q", got)
	}
	e := h.Envelope()
	if e.Sender != "new@example.org" || e.Recipients[0].Address != "bobby@example.test" || !e.Recipients[1].Removed ||
		e.Recipients[2].Address != "zoe@example.test" || e.Recipients[0].NextHop != "mx.example.org:25" ||
		e.Recipients[2].Route != "internet" || e.Meta["s.seen"] != "yes" {
		t.Errorf("envelope %+v", e)
	}
	if env.Sender != "ann@example.org" || env.Recipients[1].Removed {
		t.Error("the committed envelope changed before the commit")
	}
}

// TestANameThatAPatternCoversLeadsOutside: the owner of a zone could point the
// relay at hosts inside.
func TestANameThatAPatternCoversLeadsOutside(t *testing.T) {
	for hop, want := range map[string]mail.Recipient{
		"inside.example.org:25": {Outside: true}, "mx.example.org:25": {}, "10.1.2.3:25": {}, "10.1.attacker.example:25": {NextHop: "denied"},
	} {
		sc := newScript(t)
		set := sc.call("route_set", 0, tlvOf(abi.RouteNextHop, hop))
		s := scriptStage(t, sc.end(allPhases, 0), StageOptions{Grant: Grant{NextHops: []string{"*.example.org:25", "mx.example.org:25", "10.1.*:25"}}})
		h := newHook(mail.PhaseMessage, 0, testEnvelope())
		run(t, s, h)
		if r := h.Envelope().Recipients[0]; r.Outside != want.Outside || (r.NextHop == hop) != (want.NextHop == "") {
			t.Errorf("%s: %d, %+v", hop, result(t, s, set), r)
		}
	}
}

func tlvOf(tag int, s string) string {
	b := binary.LittleEndian.AppendUint16(nil, uint16(tag))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(s)))
	return string(b) + s
}

func TestReplyAndRecipientVerdict(t *testing.T) {
	sc := newScript(t)
	sc.call("reply", 554, 5<<20|7<<10|2, "no thanks")
	mixed := sc.call("rcpt_verdict", 0, 2, 450, 0, "x")
	ok := sc.call("rcpt_verdict", 0, 2, 0, 0, "")
	s := scriptStage(t, sc.end(allPhases, abi.VerdictReject), StageOptions{Grant: everything()})
	h := newHook(mail.PhaseMessage, 0, testEnvelope())
	if v := run(t, s, h); v != mail.Reject {
		t.Errorf("verdict %v", v)
	}
	if r := h.Reply(); r == nil || r.Line() != "554 5.7.2 no thanks" {
		t.Errorf("reply %v", r)
	}
	if result(t, s, mixed) != int64(abi.ErrBadArgument) || result(t, s, ok) != 0 {
		t.Errorf("rcpt_verdict gave %d and %d", result(t, s, mixed), result(t, s, ok))
	}
}

func TestMessageAndBody(t *testing.T) {
	sc := newScript(t)
	size := sc.call("msg_size", abi.ViewBody)
	whole := sc.call("msg_read", abi.ViewMessage, int64(0), buf(0))
	tail := sc.call("msg_read", abi.ViewBody, int64(4), buf(1))
	end := sc.call("msg_read", abi.ViewBody, int64(8), buf(2))
	view := sc.call("msg_read", 7, int64(0), buf(2))
	parts := sc.call("part_count")
	kind := sc.call("part_get", 0, abi.PartType, buf(3))
	parent := sc.call("part_get", 0, abi.PartParent, buf(4))
	sum := sc.call("part_get", 0, abi.PartSHA256, buf(5))
	sc.call("body_write", "New\n", 0)
	sc.call("body_write", "Body", 0)
	s := scriptStage(t, sc.end(allPhases, 0), StageOptions{Grant: everything()})
	h := newHook(mail.PhaseMessage, 0, testEnvelope())
	run(t, s, h)
	if result(t, s, size) != 8 || result(t, s, end) != 0 || result(t, s, view) != int64(abi.ErrBadArgument) {
		t.Errorf("size %d, end %d, unknown view %d", result(t, s, size), result(t, s, end), result(t, s, view))
	}
	if got := bufferText(t, s, 0, result(t, s, whole)); got != testMessage {
		t.Errorf("message %q", got)
	}
	if got := bufferText(t, s, 1, result(t, s, tail)); got != "o.\r\n" {
		t.Errorf("tail %q", got)
	}
	if result(t, s, parts) != 1 || bufferText(t, s, 3, result(t, s, kind)) != "text/plain" ||
		bufferText(t, s, 4, result(t, s, parent)) != "-1" || result(t, s, sum) != 32 {
		t.Errorf("parts: %d, %d, %d, %d", result(t, s, parts), result(t, s, kind), result(t, s, parent), result(t, s, sum))
	}
	if err := h.Commit(); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, h.NewBody().Size())
	if _, err := h.NewBody().ReadAt(b, 0); err != nil || string(b) != "New\r\nBody\r\n" {
		t.Errorf("new body %q, %v", b, err)
	}
}

func TestPhases(t *testing.T) {
	sc := newScript(t)
	sc.atInit("hdr_find", "", -1)
	sc.atInit("get", abi.FieldStage, 0, buf(0))
	sc.atInit("get", abi.FieldHelo, 0, buf(0))
	sc.atInit("get_int", abi.FieldRcptCount, 0)
	sc.atInit("kv_get", 0, "k", buf(0))
	sc.atInit("now")
	s := scriptStage(t, sc.end(allPhases, 0), StageOptions{Grant: everything()})
	for n, want := range []int64{int64(abi.ErrWrongPhase), 1, int64(abi.ErrNotFound), abi.Absent, int64(abi.ErrWrongPhase)} {
		if got := result(t, s, n); got != want {
			t.Errorf("init step %d gave %d, want %d", n, got, want)
		}
	}
	if now := result(t, s, 5); time.Since(time.UnixMilli(now)) > time.Minute {
		t.Errorf("now gave %d", now)
	}
	sc = newScript(t)
	for _, call := range []string{"hdr_find", "part_count", "rcpt_del", "route_set", "msg_size"} {
		sc.call(call)
	}
	s = scriptStage(t, sc.end(allPhases, 0), StageOptions{Grant: everything()})
	run(t, s, newHook(mail.PhaseMail, 0, testEnvelope()))
	for n := 0; n < 5; n++ {
		if got := result(t, s, n); got != int64(abi.ErrWrongPhase) {
			t.Errorf("step %d in phase mail gave %d", n, got)
		}
	}
}

// "pr_on returned -2 (denied)" did not say what was denied.
func TestFaultNamesTheCallThatWasDenied(t *testing.T) {
	for _, k := range []struct {
		call  []any
		grant Grant
		want  string
	}{
		{[]any{"hdr_find", "x", -1}, Grant{}, "pr_on returned -2 (denied; last denied: hdr_find, which needs read headers)"},
		{[]any{"get", abi.FieldSender, 0, buf(0)}, Grant{}, "last denied: get, which needs read envelope)"},
		{[]any{"get_int", abi.FieldRcptCount, 0}, Grant{}, "last denied: get_int, which needs read envelope)"},
		{[]any{"store", "other"}, Grant{Stores: []string{"db"}}, "last denied: store, which is granted, but not for what it named)"},
		{[]any{"hdr_find", "x", -1}, everything(), "pr_on returned -2 (denied)"},
	} {
		sc := newScript(t)
		sc.call(k.call[0].(string), k.call[1:]...)
		s := scriptStage(t, sc.end(allPhases, int(abi.ErrDenied)), StageOptions{Grant: k.grant})
		_, err := s.Run(context.Background(), newHook(mail.PhaseMessage, 0, testEnvelope()))
		if err == nil || !strings.HasSuffix(err.Error(), k.want) {
			t.Errorf("%v: %v, want %q", k.call, err, k.want)
		}
	}
}

func TestNothingIsAllowedWithoutAGrant(t *testing.T) {
	sc := newScript(t)
	calls := [][]any{
		{"get", abi.FieldSender, 0, buf(0)}, {"hdr_find", "x", -1}, {"hdr_get", 0, 0, buf(0)}, {"hdr_add", 0, "X", "y"},
		{"hdr_set", 0, "y"}, {"hdr_del", 0}, {"rcpt_add", "a@example.org"}, {"rcpt_set", 0, "a@example.org"}, {"rcpt_del", 0},
		{"sender_set", "a@example.org"}, {"msg_size", 0}, {"msg_read", 0, int64(0), buf(0)}, {"body_write", "x", 0},
		{"part_count"}, {"part_get", 0, 0, buf(0)}, {"route_set", 0, tlvOf(1, "r")}, {"store", "db"}, {"bucket", "b"},
		{"kv_get", 0, "k", buf(0)}, {"kv_put", 0, "k", "v", int64(0), 0}, {"rate_take", 0, "k", 1, scriptBuffers},
	}
	for _, c := range calls {
		sc.call(c[0].(string), c[1:]...)
	}
	absent := sc.call("get_int", abi.FieldRcptCount, 0)
	free := sc.call("get", abi.FieldStage, 0, buf(0))
	st, b := newMemStore(), &fixedBucket{tokens: 1}
	s := scriptStage(t, sc.end(allPhases, 0), StageOptions{Stores: map[string]Store{"db": st}, Buckets: map[string]Bucket{"b": b}})
	h := newHook(mail.PhaseMessage, 0, testEnvelope())
	run(t, s, h)
	for n, c := range calls {
		if got := result(t, s, n); got != int64(abi.ErrDenied) {
			t.Errorf("%s gave %d, want denied", c[0], got)
		}
	}
	if result(t, s, absent) != abi.Absent || result(t, s, free) != 1 {
		t.Errorf("integer field %d, stage name %d", result(t, s, absent), result(t, s, free))
	}
	if len(h.Edits()) != 0 || b.tokens != 1 {
		t.Errorf("edits %v, tokens %d", h.Edits(), b.tokens)
	}
}

func TestNamesOutsideTheGrantAreDenied(t *testing.T) {
	sc := newScript(t)
	sc.call("store", "mine")
	sc.call("store", "mine")
	sc.call("store", "other")
	sc.call("bucket", "other")
	sc.call("route_set", 0, tlvOf(1, "other"))
	sc.call("route_set", 0, tlvOf(1, "mine"))
	sc.call("msg_read", abi.ViewMessage, int64(0), buf(0))
	sc.call("msg_read", abi.ViewBody, int64(0), buf(0))
	stores := map[string]Store{"mine": newMemStore(), "other": newMemStore()}
	s := scriptStage(t, sc.end(allPhases, 0), StageOptions{
		Grant:  Grant{Read: []string{"body"}, Routes: []string{"mine"}, Stores: []string{"mine"}, Buckets: []string{"mine"}},
		Stores: stores, Buckets: map[string]Bucket{"other": &fixedBucket{}},
	})
	run(t, s, newHook(mail.PhaseMessage, 0, testEnvelope()))
	denied := int64(abi.ErrDenied)
	for n, want := range []int64{0, 0, denied, denied, denied, 0, denied, 8} {
		if got := result(t, s, n); got != want {
			t.Errorf("step %d gave %d, want %d", n, got, want)
		}
	}
}

func TestStoreWritesWaitForTheCommit(t *testing.T) {
	st := newMemStore()
	st.m["old"] = []byte("value")
	sc := newScript(t)
	sc.atInit("store", "db")
	sc.call("kv_put", 0, "new", "1", int64(0), 0)
	seen := sc.call("kv_get", 0, "new", buf(0))
	again := sc.call("kv_put", 0, "new", "2", int64(0), abi.KVIfAbsent)
	sc.call("kv_cas", 0, "new", "1", "3", int64(0))
	sc.call("kv_del", 0, "old")
	gone := sc.call("kv_get", 0, "old", buf(1))
	sc.call("kv_add", 0, "count", int64(5), int64(0), scriptBuffers+2*bufferSize)
	pending := sc.call("kv_add", 0, "new", int64(5), int64(0), scriptBuffers+2*bufferSize)
	badTTL := sc.call("kv_put", 0, "k", "v", int64(-1), 0)
	badStore := sc.call("kv_get", 1, "k", buf(0))
	s := scriptStage(t, sc.end(allPhases, 0), StageOptions{Grant: everything(), Stores: map[string]Store{"db": st}})
	h := newHook(mail.PhaseMail, 0, testEnvelope())
	run(t, s, h)
	want := map[int]int64{seen: 1, again: int64(abi.ErrConflict), gone: int64(abi.ErrNotFound), pending: int64(abi.ErrConflict),
		badTTL: int64(abi.ErrBadArgument), badStore: int64(abi.ErrBadArgument)}
	for n, r := range want {
		if got := result(t, s, n); got != r {
			t.Errorf("step %d gave %d, want %d", n, got, r)
		}
	}
	if _, ok := st.m["new"]; ok || string(st.m["old"]) != "value" {
		t.Errorf("store changed before the commit: %v", st.m)
	}
	if n := binary.LittleEndian.Uint64(st.m["count"]); n != 5 {
		t.Errorf("counter is %d, it counts at once", n)
	}
	if err := h.Commit(); err != nil {
		t.Fatal(err)
	}
	if _, ok := st.m["old"]; ok || string(st.m["new"]) != "3" {
		t.Errorf("store after the commit: %v", st.m)
	}
}

func TestBucket(t *testing.T) {
	sc := newScript(t)
	sc.atInit("bucket", "b")
	sc.call("rate_take", 0, "k", 2, scriptBuffers)
	sc.call("rate_take", 0, "k", 2, scriptBuffers)
	sc.call("rate_take", 0, "k", 0, scriptBuffers)
	sc.call("rate_take", 1, "k", 1, scriptBuffers)
	s := scriptStage(t, sc.end(allPhases, 0), StageOptions{Grant: everything(), Buckets: map[string]Bucket{"b": &fixedBucket{tokens: 3}}})
	run(t, s, newHook(mail.PhaseRcpt, 0, testEnvelope()))
	for n, want := range []int64{1, 0, int64(abi.ErrBadArgument), int64(abi.ErrBadArgument)} {
		if got := result(t, s, n); got != want {
			t.Errorf("take %d gave %d, want %d", n, got, want)
		}
	}
	if wait := binary.LittleEndian.Uint64(peek(t, s, scriptBuffers, 8)); wait != 2 {
		t.Errorf("wait is %d ms, want 1.5 rounded up", wait)
	}
}

func TestSharesOfOneCall(t *testing.T) {
	cases := []struct {
		name  string
		limit int
		call  []any
	}{
		{"header edits", maxHeaderEdits, []any{"hdr_set", 0, "x"}},
		{"store accesses", maxKVOps, []any{"kv_get", 0, "k", buf(0)}},
		{"bodies", maxBodies, []any{"body_write", "x", abi.WriteStart}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			sc := newScript(t)
			sc.atInit("store", "db")
			for n := 0; n <= c.limit; n++ {
				sc.call(c.call[0].(string), c.call[1:]...)
			}
			s := scriptStage(t, sc.end(allPhases, 0), StageOptions{Grant: everything(), Stores: map[string]Store{"db": newMemStore()}})
			run(t, s, newHook(mail.PhaseMessage, 0, testEnvelope()))
			if got := result(t, s, c.limit-1); got == int64(abi.ErrLimit) {
				t.Errorf("call %d is refused already", c.limit)
			}
			if got := result(t, s, c.limit); got != int64(abi.ErrLimit) {
				t.Errorf("call %d gave %d", c.limit+1, got)
			}
		})
	}
}

func TestLogIsBoundedAndClean(t *testing.T) {
	logger, sink := newLog(hclog.Info)
	sc := newScript(t)
	sc.call("log", abi.LogDebug, "too quiet")
	sc.call("log", abi.LogWarn, "two\nlines\x1b[2J")
	on, off := sc.call("log_on", abi.LogInfo), sc.call("log_on", abi.LogDebug)
	for n := 0; n < 2*maxLogLines; n++ {
		sc.call("log", abi.LogInfo, "flood")
	}
	s := scriptStage(t, sc.end(allPhases, 0), StageOptions{Logger: logger})
	run(t, s, newHook(mail.PhaseMail, 0, testEnvelope()))
	if result(t, s, on) != 1 || result(t, s, off) != 0 {
		t.Errorf("log_on gave %d and %d", result(t, s, on), result(t, s, off))
	}
	text := sink.String()
	if n := strings.Count(text, "flood"); n == 0 || n > maxLogLines {
		t.Errorf("%d lines were logged", n)
	}
	if strings.Contains(text, "too quiet") || strings.Contains(text, "\x1b") || !strings.Contains(text, "two lines") {
		t.Errorf("log is %q", text[:200])
	}
	if strings.Count(text, "logs too much") != 1 || !strings.Contains(text, "id=01MESSAGE") {
		t.Error("log does not say once that lines are left out, for which message")
	}
}

func TestPointerOutsideOfMemoryTraps(t *testing.T) {
	for _, c := range [][]any{
		{"get", abi.FieldSender, 0, 8 << 16, 100}, {"get", abi.FieldSender, 0, -1, 1}, {"meta_set", 0, 0, -1, 0, 0},
		{"log", 2, 8<<16 - 1, 2}, {"msg_read", 0, int64(0), 0, -1}, {"rate_take", 0, 0, 1, 1, 8<<16 - 7},
	} {
		sc := newScript(t)
		sc.atInit("bucket", "b")
		sc.call(c[0].(string), c[1:]...)
		s := scriptStage(t, sc.end(allPhases, 0), StageOptions{Grant: everything(), Buckets: map[string]Bucket{"b": &fixedBucket{}}})
		_, err := s.Run(context.Background(), newHook(mail.PhaseMessage, 0, testEnvelope()))
		var f *Fault
		if !errors.As(err, &f) || f.Cause != CauseTrap || !strings.Contains(f.Detail, "outside of its memory") {
			t.Errorf("%v: %v", c, err)
		}
	}
}
