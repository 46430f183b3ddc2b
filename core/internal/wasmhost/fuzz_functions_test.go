// SPDX-License-Identifier: Apache-2.0

package wasmhost

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/postroad-mail/postroad/core/internal/pipeline"
	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/sdk/abi"
)

// Each host function has a fuzz target: any arguments, over any octets in the
// guest's memory, in any phase, live or dry. Whatever they are,
//   - the call returns a documented result, or traps because a pointer is outside
//     of the memory, or uses up the fuel: a panic of ours is neither;
//   - the guest's memory is untouched but for the buffers that it handed in;
//   - the journal grows by a bounded amount;
//   - what is committed is still a message: no field, address, reply or line of
//     EHLO has more in it than one.

func FuzzGet(f *testing.F)         { fuzzFunction(f, "get") }
func FuzzGetInt(f *testing.F)      { fuzzFunction(f, "get_int") }
func FuzzSnapshot(f *testing.F)    { fuzzFunction(f, "snapshot") }
func FuzzReply(f *testing.F)       { fuzzFunction(f, "reply") }
func FuzzRcptVerdict(f *testing.F) { fuzzFunction(f, "rcpt_verdict") }
func FuzzHdrFind(f *testing.F)     { fuzzFunction(f, "hdr_find") }
func FuzzHdrGet(f *testing.F)      { fuzzFunction(f, "hdr_get") }
func FuzzHdrAdd(f *testing.F)      { fuzzFunction(f, "hdr_add") }
func FuzzHdrSet(f *testing.F)      { fuzzFunction(f, "hdr_set") }
func FuzzHdrDel(f *testing.F)      { fuzzFunction(f, "hdr_del") }
func FuzzRcptAdd(f *testing.F)     { fuzzFunction(f, "rcpt_add") }
func FuzzRcptSet(f *testing.F)     { fuzzFunction(f, "rcpt_set") }
func FuzzRcptDel(f *testing.F)     { fuzzFunction(f, "rcpt_del") }
func FuzzSenderSet(f *testing.F)   { fuzzFunction(f, "sender_set") }
func FuzzMsgSize(f *testing.F)     { fuzzFunction(f, "msg_size") }
func FuzzMsgRead(f *testing.F)     { fuzzFunction(f, "msg_read") }
func FuzzBodyWrite(f *testing.F)   { fuzzFunction(f, "body_write") }
func FuzzPartCount(f *testing.F)   { fuzzFunction(f, "part_count") }
func FuzzPartGet(f *testing.F)     { fuzzFunction(f, "part_get") }
func FuzzPartRead(f *testing.F)    { fuzzFunction(f, "part_read") }
func FuzzMetaGet(f *testing.F)     { fuzzFunction(f, "meta_get") }
func FuzzMetaSet(f *testing.F)     { fuzzFunction(f, "meta_set") }
func FuzzScore(f *testing.F)       { fuzzFunction(f, "score") }
func FuzzSplit(f *testing.F)       { fuzzFunction(f, "split") }
func FuzzUse(f *testing.F)         { fuzzFunction(f, "use") }
func FuzzRouteSet(f *testing.F)    { fuzzFunction(f, "route_set") }
func FuzzLabelSet(f *testing.F)    { fuzzFunction(f, "label_set") }
func FuzzQueueSet(f *testing.F)    { fuzzFunction(f, "queue_set") }
func FuzzEmit(f *testing.F)        { fuzzFunction(f, "emit") }
func FuzzStore(f *testing.F)       { fuzzFunction(f, "store") }
func FuzzKVGet(f *testing.F)       { fuzzFunction(f, "kv_get") }
func FuzzKVPut(f *testing.F)       { fuzzFunction(f, "kv_put") }
func FuzzKVDel(f *testing.F)       { fuzzFunction(f, "kv_del") }
func FuzzKVAdd(f *testing.F)       { fuzzFunction(f, "kv_add") }
func FuzzKVCAS(f *testing.F)       { fuzzFunction(f, "kv_cas") }
func FuzzBucket(f *testing.F)      { fuzzFunction(f, "bucket") }
func FuzzRateTake(f *testing.F)    { fuzzFunction(f, "rate_take") }
func FuzzDNS(f *testing.F)         { fuzzFunction(f, "dns") }
func FuzzHTTP(f *testing.F)        { fuzzFunction(f, "http") }
func FuzzHTTPRead(f *testing.F)    { fuzzFunction(f, "http_read") }
func FuzzHTTPHeader(f *testing.F)  { fuzzFunction(f, "http_header") }
func FuzzConfig(f *testing.F)      { fuzzFunction(f, "config") }
func FuzzSecret(f *testing.F)      { fuzzFunction(f, "secret") }
func FuzzLog(f *testing.F)         { fuzzFunction(f, "log") }
func FuzzLogOn(f *testing.F)       { fuzzFunction(f, "log_on") }
func FuzzMetric(f *testing.F)      { fuzzFunction(f, "metric") }
func FuzzNow(f *testing.F)         { fuzzFunction(f, "now") }
func FuzzRandom(f *testing.F)      { fuzzFunction(f, "random") }
func FuzzEHLOSet(f *testing.F)     { fuzzFunction(f, "ehlo_set") }

func TestEveryFunctionHasAFuzzTarget(t *testing.T) {
	src, err := os.ReadFile("fuzz_functions_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range abi.Functions() {
		if f.Served && !bytes.Contains(src, []byte(`fuzzFunction(f, "`+f.Name+`")`)) {
			t.Errorf("%s has none", f.Name)
		}
	}
}

// attempt is one input of a target.
type attempt struct {
	name  string
	phase mail.Phase
	dry   bool
	args  [8]int64
	mem   []byte // at scriptConfig+16
}

// fuzzFunction is a target. Its seeds are the usual call and its variations.
func fuzzFunction(f *testing.F, name string) {
	m := load(f, newHost(f, Options{}), "script.wasm")
	u := usualCalls()[name]
	for n, p := range servedPhasesList() {
		if p == u.phase || n%5 == 0 {
			seed(f, u, byte(n))
		}
	}
	phases := servedPhasesList()
	f.Fuzz(func(t *testing.T, phase byte, dry bool, a, b, c, d, e, g, h, i int64, mem []byte) {
		try(t, m, attempt{name, phases[int(phase)%len(phases)], dry, [8]int64{a, b, c, d, e, g, h, i}, mem[:min(len(mem), 32<<10)]})
	})
}

func seed(f *testing.F, u usual, phase byte) {
	sc := newScript(f)
	raw := sc.encode(u.call[0].(string), u.call[1:])
	var a [8]int64
	for n := range a {
		a[n] = int64(binary.LittleEndian.Uint64(raw[8+8*n:]))
	}
	mem := sc.data[16:]
	f.Add(phase, false, a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], mem)
	f.Add(phase, true, a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], mem)
	f.Add(phase, false, a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], []byte("\x00\r\n\xff: \x01\x00\xff\xff\xff\xff"))
	f.Add(phase, false, int64(-1), a[1], int64(1)<<31, int64(-1), a[4], int64(-1)<<63, a[6], a[7], mem)
}

// try makes the call and holds what comes of it against the invariants.
func try(t *testing.T, m *Module, a attempt) {
	w := new(world)
	o := w.options()
	o.Stores["db"].(*memStore).m["there"] = []byte("value")
	sc := newScript(t)
	sc.data = append(sc.data, a.mem...)
	sc.atInit("store", "db")
	sc.atInit("bucket", "b")
	for _, st := range before(a.name) {
		sc.call(st[0].(string), st[1:]...)
	}
	args := make([]any, len(a.args))
	for n := range args {
		args[n] = a.args[n]
	}
	call := sc.call(a.name, args...)
	config := sc.end(mail.PhaseSet(abi.ServedPhases), 0)
	o.Config, o.Name = config, "s"
	s, err := m.NewStage(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	h := fullHook(a.phase, a.dry)
	err = runOn(t, s, h)
	if err != nil {
		checkFault(t, err)
		h.Drop()
		return
	}
	checkResult(t, s, a, call)
	checkMemory(t, s, a, config, call+1)
	checkJournal(t, h, w)
	err = h.Commit()
	if err != nil && !errors.Is(err, abi.ErrConflict) && !errors.Is(err, abi.ErrLimit) {
		t.Fatalf("commit: %v", err)
	}
	checkCommitted(t, h)
}

// before are the calls that some functions build on.
func before(name string) []step {
	switch name {
	case "http_read", "http_header":
		return answered(name)
	case "use":
		return []step{{"rcpt_add", "x@example.org"}, {"split", outBuffer, 1}}
	}
	return nil
}

// checkFault takes the two ways in which a guest may end.
func checkFault(t *testing.T, err error) {
	t.Helper()
	var f *Fault
	if !errors.As(err, &f) {
		t.Fatalf("%v is no fault", err)
	}
	if f.Cause != CauseFuel && (f.Cause != CauseTrap || !strings.Contains(f.Detail, errRange.Error())) {
		t.Fatalf("fault %v", f)
	}
}

// checkResult holds the result against what the ABI documents.
func checkResult(t *testing.T, s *Stage, a attempt, n int) {
	t.Helper()
	got, f := result(t, s, n), s.host.imports.known[a.name]
	wide := len(f.Results) == 1 && f.Results[0] == abi.I64
	switch {
	case len(f.Results) == 0 && got == 0:
	case f.Phases>>uint(a.phase)&1 == 0 && got != int64(abi.ErrWrongPhase):
		t.Fatalf("%s in %v gave %d", a.name, a.phase, got)
	case a.name == "get_int":
	case got < int64(abi.ErrConflict), !wide && got > 1<<31-1:
		t.Fatalf("%s gave %d", a.name, got)
	}
}

// outputs returns the parts of the memory that a call may write: its buffers.
func outputs(a attempt) [][2]int64 {
	regions := [][2]int64{{int64(outBuffer), 8}, {scriptBuffers + bufferSize, 12}} // of the calls before
	word := 0
	for _, arg := range usualCalls()[a.name].call[1:] {
		switch arg.(type) {
		case buf:
			regions = append(regions, [2]int64{int64(uint32(a.args[word])), int64(uint32(a.args[word+1]))})
			word++
		case string:
			word++
		case out:
			regions = append(regions, [2]int64{int64(uint32(a.args[word])), 8})
		}
		word++
	}
	return regions
}

// checkMemory compares the guest's memory with what it was: the config, zeros,
// and the results that the guest itself stored.
func checkMemory(t *testing.T, s *Stage, a attempt, config []byte, steps int) {
	t.Helper()
	const size = 8 << 16
	got, want := peek(t, s, 0, size), make([]byte, size)
	copy(want[scriptConfig:], config)
	free := append(outputs(a), [2]int64{scriptResults, int64(8 * max(steps, 2))}) // the two of pr_init, too
	for _, r := range free {
		from, to := min(r[0], size), min(r[0]+r[1], size)
		copy(want[from:to], got[from:to])
	}
	if !bytes.Equal(got, want) {
		for n := range got {
			if got[n] != want[n] {
				t.Fatalf("%s wrote to %#x", a.name, n)
			}
		}
	}
}

// checkJournal bounds what one call may leave behind.
func checkJournal(t *testing.T, h *pipeline.Hook, w *world) {
	t.Helper()
	octets := 0
	for _, e := range h.Edits() {
		octets += len(e.Op) + len(e.Target) + len(e.Value)
	}
	if len(h.Edits()) > 3 || octets > 1<<20 || len(h.Emitted()) > 1 {
		t.Fatalf("journal of %d entries, %d octets; %d messages", len(h.Edits()), octets, len(h.Emitted()))
	}
	if len(w.asked) > 2 || len(w.figures) > 1 || len(w.queued) > 0 || h.Dry() && len(w.figures) > 0 {
		t.Fatalf("asked %q, figures %q, queued %v", w.asked, w.figures, w.queued)
	}
}

// checkCommitted looks for what must not have come through.
func checkCommitted(t *testing.T, h *pipeline.Hook) {
	t.Helper()
	head := h.Header().AppendTo(nil)
	again := mail.ParseHeader(head)
	if again.Len() != h.Header().Len() || bytes.IndexByte(head, 0) >= 0 {
		t.Fatalf("header %q is another one when it is read", head)
	}
	e := h.Envelope()
	addresses := []mail.Address{e.Sender}
	for _, r := range e.Recipients {
		addresses = append(addresses, r.Address, mail.Address(r.Route), mail.Address(r.NextHop))
	}
	for _, a := range addresses {
		if strings.ContainsAny(string(a), "\r\n\x00") {
			t.Fatalf("address or route %q", a)
		}
	}
	if r := h.Reply(); r != nil && (strings.ContainsAny(r.Line(), "\r\n\x00") || r.Code < 200 || r.Code > 599) {
		t.Fatalf("reply %q", r.Line())
	}
	for _, line := range h.EHLO() {
		if strings.ContainsAny(line, "\r\n\x00") {
			t.Fatalf("EHLO line %q", line)
		}
	}
}
