// SPDX-License-Identifier: Apache-2.0

package wasmhost

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/postroad-mail/postroad/core/internal/fixture"
	"github.com/postroad-mail/postroad/core/internal/pipeline"
	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/sdk/abi"
)

// order returns a hook about a message that tells testdata/guests/obey.wat what
// to write and how to exit. slow makes it write octet by octet.
func order(phase mail.Phase, code int, slow bool, out string) *pipeline.Hook {
	n := 2 * code
	if slow {
		n++
	}
	head := mail.ParseHeader([]byte(fmt.Sprintf("Exit: %03d\r\n\r\n", n)))
	return pipeline.NewHook(testPipeline(), "s", phase, 0, testEnvelope(), head, mail.BytesBody(out))
}

func obey(t testing.TB, o StageOptions) *Stage {
	if o.Grant.empty() {
		o.Grant = everything()
	}
	return newTestStage(t, load(t, newHost(t, Options{Logger: o.Logger}), "guests/obey.wasm"), o)
}

// journal is what a hook has edited, one line each.
func journal(h *pipeline.Hook) string {
	var b strings.Builder
	for _, e := range h.Edits() {
		fmt.Fprintln(&b, strings.TrimSpace(e.Op+" "+e.Target+" "+e.Value))
	}
	return b.String()
}

func TestCommandArgumentsAndError(t *testing.T) {
	logger, sink := newLog(hclog.Info)
	m := load(t, newHost(t, Options{}), "guests/args.wasm")
	s := newTestStage(t, m, StageOptions{Logger: logger, Phases: mail.Phases(mail.PhaseHelo, mail.PhaseMessage)})
	if m.Manifest().Kind != KindCommand || s.Phases() != mail.Phases(mail.PhaseHelo, mail.PhaseMessage) {
		t.Errorf("kind %q, phases %v", m.Manifest().Kind, s.Phases())
	}
	for _, phase := range []mail.Phase{mail.PhaseHelo, mail.PhaseMessage} {
		if v := run(t, s, newHook(phase, 0, testEnvelope())); v != mail.Continue {
			t.Errorf("a silent command gave %v", v)
		}
	}
	for _, want := range []string{"text=guests/args.wasm/helo", "text=guests/args.wasm/message"} {
		if !strings.Contains(sink.String(), want) {
			t.Errorf("no %q in the log: %s", want, sink)
		}
	}
	if n := s.live.Load(); n != 0 {
		t.Errorf("%d instances live on", n)
	}
}

// TestAnswers: what a command writes, whole or octet by octet, and what comes of
// it.
func TestAnswers(t *testing.T) {
	s := obey(t, StageOptions{})
	cases := []struct {
		out     string
		code    int
		verdict mail.Verdict
		journal string
		fault   string // detail, with cause error
	}{
		{out: ""},
		{out: "\n"},
		{out: "{}"},
		{out: `{"verdict":"continue"}` + "\n \n"},
		{out: `{"verdict":"discard"}` + "\n", verdict: mail.Discard},
		{out: "ignored", code: 75, verdict: mail.Tempfail},
		{out: `{"verdict":"accept"}`, code: 77, verdict: mail.Reject},
		{out: `{"ops":[{"op":"hdr_add","name":"X-A","value":"b"},{"op":"hdr_set","name":"x-a","index":-1,"value_b64":"Yw=="},
			{"op":"hdr_add","pos":0,"name":"X-B","value":"d"},{"op":"hdr_del","name":"X-A"},{"op":"hdr_set","id":0,"value":"0"}]}`,
			journal: "hdr_add X-A b\nhdr_set X-A c\nhdr_add X-B d\nhdr_del X-A\nhdr_set Exit 0\n"},
		{out: `{"ops":[{"op":"rcpt_add","rcpt":"new@example.test"},{"op":"rcpt_set","idx":0,"to":"bob2@example.test"},
			{"op":"rcpt_del","rcpt":"EVE@example.test"},{"op":"rcpt_verdict","rcpt":"bob2@example.test","verdict":"reject","code":550,"enhanced":"5.1.1","text":"no"},
			{"op":"sender_set","sender":""}]}`,
			journal: "rcpt_add 2 new@example.test\nrcpt_set 0 bob2@example.test\nrcpt_del 1\nrcpt_verdict 0 reject\nsender_set\n"},
		{out: `{"ops":[{"op":"score","symbol":"SPAMMY","milli":1500},{"op":"meta_set","key":"class","value":"bulk"},
			{"op":"meta_set","scope":"session","key":"seen","value":"1"},{"op":"route_set","route":"slow"},{"op":"route_set","idx":0,"next_hop":"mx.example.org:25"},
			{"op":"queue_set","key":"priority","value":-5}]}`,
			journal: "score SPAMMY 1500\nmeta_set s.class bulk\nmeta_set s.seen 1\nroute_set -1 slow\nroute_set 0 mx.example.org:25\nqueue_set 3 -5\n"},
		{out: `{"ops":[{"op":"split","rcpts":[1]},{"op":"use","handle":1},{"op":"hdr_add","name":"X-C","value":"1"},{"op":"use","handle":0},
			{"op":"emit","recipients":["ops@example.test"],"header":"Subject: x\r\n\r\n","body":"y"}]}`,
			journal: "split 1\nuse 1\nhdr_add X-C 1\nuse 0\nemit  ops@example.test\n"},

		{out: "hello\n", fault: "; a program that writes the message itself needs mode = \"filter\""},
		{out: "{} {}", fault: "more than one JSON value"},
		{out: `{"opps":[]}`, fault: `unknown field "opps"`},
		{out: "{}\nmore", fault: `more than its line of JSON, without "body": "replace"`},
		{out: `{"body":"new"}`, fault: `body "new"; the one to give is "replace"`},
		{out: `{"verdict":"maybe"}`, fault: `verdict "maybe" is unknown`},
		{out: `{"code":250,"text":"fine"}`, fault: ""},
		{out: `{"verdict":"reject","code":42}`, fault: "its reply: bad argument"},
		{out: `{"enhanced":"5.7"}`, fault: `its reply: enhanced "5.7" is no status`},
		{out: `{"ops":[{"op":"hdr_ad"}]}`, fault: "op 0, hdr_ad: it is unknown; known are ehlo_set, emit, hdr_add"},
		{out: `{"ops":[{"op":"hdr_add","name":"A","value":"b"},{"op":"hdr_set","name":"Nope","value":"x"}]}`, fault: `op 1, hdr_set: field "Nope": not found`},
		{out: `{"ops":[{"op":"hdr_add","name":"A","value":"b\r\nC: d"}]}`, fault: "op 0, hdr_add: bad argument"},
		{out: `{"ops":[{"op":"rcpt_del","rcpt":"none@example.test"}]}`, fault: `op 0, rcpt_del: recipient "none@example.test": not found`},
		{out: `{"ops":[{"op":"route_set","next_hop":"mx.elsewhere.test:25"}]}`, fault: `denied; it is not among the granted next_hops`},
		{out: `{"ops":[{"op":"queue_set","key":"color","value":1}]}`, fault: `key "color" is unknown`},
		{out: `{"ops":[{"op":"meta_set","scope":"world","key":"a","value":"b"}]}`, fault: `scope "world" is unknown`},
		{out: `{"ops":[{"op":"hdr_add","name":"A","value":1}]}`, fault: "op 0, hdr_add: value 1 is no string"},
		{out: `{"ops":[{"op":"queue_set","key":"dsn","value":"no"}]}`, fault: `op 0, queue_set: value "no" is no number`},
		{out: `{"ops":[{"op":"kv_put","store":"none","key":"a","value":"b"}]}`, fault: `op 0, kv_put: store "none": denied`},
		{out: `{"ops":[{"op":"metric","kind":"sum","name":"a","value":1}]}`, fault: `kind "sum" is unknown`},
		{out: `{"ops":[{"op":"http","url":"https://a.test/"}]}`, fault: `op 0, http: not supported`},
		{out: `{"ops":[{"op":"ehlo_set","action":"add","line":"X"}]}`, fault: "op 0, ehlo_set: wrong phase, message"},
	}
	for _, c := range cases {
		for _, slow := range []bool{false, true} {
			h := order(mail.PhaseMessage, c.code, slow, strings.ReplaceAll(c.out, "\n\t\t\t", " "))
			v, err := s.Run(context.Background(), h)
			switch f, _ := err.(*Fault); {
			case c.fault != "" && (f == nil || f.Cause != CauseError || !strings.Contains(f.Detail, c.fault)):
				t.Errorf("%s: error %v, want %q", c.out, err, c.fault)
			case c.fault == "" && (err != nil || v != c.verdict || c.journal != "" && journal(h) != c.journal):
				t.Errorf("%s: verdict %v, error %v, journal\n%s", c.out, v, err, journal(h))
			}
		}
	}
}

// TestReplyOfACommand: text and codes reach the reply, and what does not fit the
// phase is a fault of its own.
func TestReplyOfACommand(t *testing.T) {
	s := obey(t, StageOptions{})
	h := order(mail.PhaseMessage, 0, false, `{"verdict":"reject","code":554,"enhanced":"5.6.0","text":"no thanks"}`)
	if v := run(t, s, h); v != mail.Reject || h.Reply().Line() != "554 5.6.0 no thanks" {
		t.Errorf("%v, %v", v, h.Reply())
	}
	wantFault(t, s, order(mail.PhaseMessage, 0, false, `{"verdict":"skip"}`), CauseVerdict, "verdict skip in phase message")
	wantFault(t, s, order(mail.PhaseMessage, 3, false, ""), CauseExit, "it exited with 3")
}

// TestGrantsOfACommand: without a grant, what it is about is not on its input,
// and an op says what it needs.
func TestGrantsOfACommand(t *testing.T) {
	for _, c := range []struct {
		grant Grant
		out   string
		fault string
	}{
		{Grant{Read: []string{"headers", "body"}}, `{"ops":[{"op":"hdr_add","name":"A","value":"b"}]}`, "op 0, hdr_add: denied; it needs the grant write headers"},
		{Grant{Read: []string{"headers", "body"}}, `{"ops":[{"op":"rcpt_add","rcpt":"a@example.test"}]}`, "denied; it needs the grant write recipients"},
		{Grant{Read: []string{"headers", "body"}}, `{"body":"replace"}` + "\n\nx", "a new message: denied; it needs the grant write body"},
		{Grant{Read: []string{"headers", "body"}, Write: []string{"body"}}, `{"body":"replace"}` + "\nA: b\n\nx", "another one: denied; it needs the grant write headers"},
		{Grant{Read: []string{"headers", "body"}, Routes: []string{"bulk"}}, `{"ops":[{"op":"route_set","route":"other"}]}`, `route "other": denied; it is not among the granted routes`},
	} {
		s := obey(t, StageOptions{Grant: c.grant})
		wantFault(t, s, order(mail.PhaseMessage, 0, false, c.out), CauseError, c.fault)
	}
}

// TestInputOfACommand follows the grants, and the phase.
func TestInputOfACommand(t *testing.T) {
	m := load(t, newHost(t, Options{}), "guests/obey.wasm")
	read := func(phase mail.Phase, grant ...string) string {
		s := newTestStage(t, m, StageOptions{Grant: Grant{Read: grant}, Phases: mail.Phases(phase), Config: []byte(`{"a":1}`)})
		i, _, err := s.start(context.Background(), s.limits.MessageDeadline)
		if err != nil {
			t.Fatal(err)
		}
		defer s.finish(i)
		i.hook = order(phase, 0, false, "Hello.\r\n")
		p, all, buf := i.newProgram(), "", make([]byte, 7)
		for n, err := p.read(buf); n > 0; n, err = p.read(buf) {
			if err != nil {
				t.Fatal(err)
			}
			all += string(buf[:n])
		}
		line, rest, _ := strings.Cut(all, "\n")
		var facts map[string]any
		if err := json.Unmarshal([]byte(line), &facts); err != nil {
			t.Fatal(err)
		}
		_, header := facts["headers"]
		if _, sender := facts["sender"]; header != strings.Contains(rest, "Exit") || sender || facts["config"].(map[string]any)["a"] != 1.0 {
			t.Errorf("%v %v: line %s", phase, grant, line)
		}
		return rest
	}
	for _, c := range []struct {
		phase mail.Phase
		grant []string
		want  string
	}{
		{mail.PhaseMessage, []string{"headers", "body"}, "Exit: 000\r\n\r\nHello.\r\n"},
		{mail.PhaseQueued, []string{"headers", "body"}, "Exit: 000\r\n\r\nHello.\r\n"},
		{mail.PhaseMessage, []string{"headers"}, "Exit: 000\r\n\r\n"},
		{mail.PhaseMessage, []string{"body"}, "\r\nHello.\r\n"},
		{mail.PhaseMessage, nil, ""},
		{mail.PhaseHeaders, []string{"headers", "body"}, "Exit: 000\r\n\r\n"},
		{mail.PhaseHeaders, []string{"body"}, ""},
	} {
		if got := read(c.phase, c.grant...); got != c.want {
			t.Errorf("%v with %v: input %q, want %q", c.phase, c.grant, got, c.want)
		}
	}
}

// message returns what a hook makes of its message.
func message(t testing.TB, h *pipeline.Hook, old string) string {
	t.Helper()
	if err := h.Commit(); err != nil {
		t.Fatal(err)
	}
	body := old
	if b := h.NewBody(); b != nil {
		p := make([]byte, b.Size())
		if _, err := b.ReadAt(p, 0); err != nil && !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		body = string(p)
	}
	return string(h.Header().AppendTo(nil)) + body
}

// TestNewMessage: a message behind the answer, ops on it, line ends repaired.
func TestNewMessage(t *testing.T) {
	s := obey(t, StageOptions{})
	for out, want := range map[string]string{
		`{"body":"replace"}` + "\nSubject: new\n folded\nX-B: 2\n\nBye.\nNow.":                              "Subject: new folded\r\nX-B: 2\r\n\r\nBye.\r\nNow.\r\n",
		`{"body":"replace","ops":[{"op":"hdr_add","name":"X-D","value":"e"}]}` + "\nExit: 000\r\n\r\nx\r\n": "Exit: 000\r\nX-D: e\r\n\r\nx\r\n",
		`{"body":"replace"}` + "\n\n":       "\r\n",
		`{"body":"replace"}` + "\nA: b\r\n": "A: b\r\n\r\n",
		`{"body":"replace"}`:                "\r\n",
	} {
		for _, slow := range []bool{false, true} {
			h := order(mail.PhaseMessage, 0, slow, out)
			run(t, s, h)
			if got := message(t, h, ""); got != strings.Replace(want, "Exit: 000", fmt.Sprintf("Exit: 00%d", map[bool]int{true: 1}[slow]), 1) &&
				got != want {
				t.Errorf("%q made\n%q, want\n%q", out, got, want)
			}
		}
	}
	for out, want := range map[string]string{
		`{"body":"replace"}` + "\nno field\n\nx":      `a line that is no field: "no field"`,
		`{"body":"replace"}` + "\nA: b\n\nx\x00":      "has a NUL in its body",
		`{"body":"replace"}` + "\nA: " + "\x00\n\nx":  "header field A: bad argument",
		`{"body":"replace"}` + "\nA" + "\x00: b\n\nx": "that is no field",
	} {
		wantFault(t, s, order(mail.PhaseMessage, 0, false, out), CauseError, want)
	}
}

// TestNewMessageIsBounded by what a rewritten body may have.
func TestNewMessageIsBounded(t *testing.T) {
	s := newTestStage(t, load(t, newHost(t, Options{}), "guests/cat.wasm"), StageOptions{Grant: everything(), Mode: ModeFilter})
	p := pipeline.New(pipeline.Options{NewBody: func() pipeline.BodyWriter { return &memBody{} }, MaxBody: 1000})
	h := pipeline.NewHook(p, "s", mail.PhaseMessage, 0, testEnvelope(), mail.ParseHeader([]byte("A: b\r\n\r\n")), mail.BytesBody(strings.Repeat("x", 1001)))
	wantFault(t, s, h, CauseError, "the message that it wrote is too large: limit reached")
	h.Drop()
}

// TestFilter: mail in, mail out; what did not change is not edited.
func TestFilter(t *testing.T) {
	s := newTestStage(t, load(t, newHost(t, Options{}), "guests/cat.wasm"), StageOptions{Grant: everything(), Mode: ModeFilter})
	const head = "Received: by us\r\nX-Odd:   kept \r\n\tas it is\r\nSubject: x\r\nno colon\r\n\r\n"
	body := strings.Repeat("A line of some octets.\r\n", 100_000)
	h := pipeline.NewHook(testPipeline(), "s", mail.PhaseMessage, 0, testEnvelope(), mail.ParseHeader([]byte(head)), mail.BytesBody(body))
	if v := run(t, s, h); v != mail.Continue || journal(h) != "body_write\n" {
		t.Errorf("%v, journal %s", v, journal(h))
	}
	if got := message(t, h, ""); got != head+body {
		t.Errorf("%d octets came out of %d", len(got), len(head+body))
	}
	silent := newTestStage(t, load(t, newHost(t, Options{}), "guests/args.wasm"), StageOptions{Grant: everything(), Mode: ModeFilter})
	wantFault(t, silent, newHook(mail.PhaseMessage, 0, testEnvelope()), CauseError, "it wrote nothing, and a filter writes the message")
}

func TestCommandOptions(t *testing.T) {
	h := newHost(t, Options{})
	command, reactor := load(t, h, "guests/cat.wasm"), load(t, h, "guests/empty.wasm")
	for _, c := range []struct {
		m    *Module
		o    StageOptions
		want string
	}{
		{command, StageOptions{Mode: "pipe"}, `mode "pipe" is unknown; the one to give is "filter"`},
		{reactor, StageOptions{Mode: ModeFilter}, `mode "filter" is for commands, and it is a reactor`},
		{command, StageOptions{Mode: ModeFilter}, `grant read = ["headers", "body"] and write = ["headers", "body"]`},
		{command, StageOptions{Mode: ModeFilter, Grant: everything(), Phases: mail.Phases(mail.PhaseHelo)}, "it is to be called in helo"},
		{command, StageOptions{Phases: mail.Phases(mail.PhaseMessage, mail.PhaseBody)}, "it is to be called in body, which are for an instance that lasts"},
		{command, StageOptions{Limits: Limits{Isolation: IsolationSession}}, `isolation "session" is not for a command`},
	} {
		c.o.Name = "s"
		if _, err := c.m.NewStage(context.Background(), c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c.o, err)
		}
	}
	wasm := withManifest(readWasm(t, "guests/cat.wasm"), `{"abi":"postroad_v1","phases":["message","helo"]}`)
	m, err := h.Load(context.Background(), "x", wasm)
	if err != nil {
		t.Fatal(err)
	}
	if s := newTestStage(t, m, StageOptions{}); s.Phases() != mail.Phases(mail.PhaseHelo, mail.PhaseMessage) {
		t.Errorf("phases %v", s.Phases())
	}
	if s := newTestStage(t, m, StageOptions{Phases: mail.Phases(mail.PhaseHelo, mail.PhaseMail)}); s.Phases() != mail.Phases(mail.PhaseHelo) {
		t.Errorf("narrowed phases %v", s.Phases())
	}
}

// buildGoCommand compiles a folder of testdata as a WASI program.
func buildGoCommand(t testing.TB, dir string) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), "command.wasm")
	cmd := exec.Command("go", "build", "-ldflags=-s -w", "-o", out, ".")
	cmd.Dir = filepath.Join("testdata", dir)
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, b)
	}
	wasm, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return wasm
}

// TestGoCommand: a program of the standard Go compiler that knows nothing of
// Postroad but the JSON.
func TestGoCommand(t *testing.T) {
	m, err := newHost(t, Options{}).Load(context.Background(), "go", buildGoCommand(t, "gocommand"))
	if err != nil {
		t.Fatal(err)
	}
	s := newTestStage(t, m, StageOptions{Grant: everything(), Phases: mail.Phases(mail.PhaseHelo, mail.PhaseMessage), Config: []byte(`{"tag":"[list]"}`),
		Limits: Limits{Deadline: time.Minute, MessageDeadline: time.Minute}})
	h := newHook(mail.PhaseHelo, 0, &mail.Envelope{Client: testEnvelope().Client})
	if v := run(t, s, h); v != mail.Reject || h.Reply().Line() != "550 5.7.1 client.example.org is not welcome" {
		t.Errorf("helo: %v, %v", v, h.Reply())
	}
	for range 3 { // a new program each time
		h = newHook(mail.PhaseMessage, 0, testEnvelope())
		run(t, s, h)
		want := "hdr_set Subject [list] Grüße\nhdr_add X-Seen message from ann@example.org to 2, body of 8\n"
		if journal(h) != want {
			t.Errorf("journal\n%s, want\n%s", journal(h), want)
		}
	}
}

// TestEffectsOfACommand: what it leaves in stores and elsewhere waits for the
// commit, as for a reactor.
func TestEffectsOfACommand(t *testing.T) {
	st := newMemStore()
	f := &fixture.Fixture{HTTP: map[string]fixture.Response{}}
	o := StageOptions{Grant: everything(), Stores: map[string]Store{"db": st}, Buckets: map[string]Bucket{}}
	o.Serve(f, fixture.NewClock())
	s := obey(t, o)
	h := order(mail.PhaseMessage, 0, false, strings.ReplaceAll(`{"ops":[{"op":"kv_put","store":"db","key":"a","value":"1"},{"op":"kv_put","store":"db","key_b64":"/w==","value":"2","ttl_ms":1000},
		{"op":"kv_cas","store":"db","key":"a","old":"1","value":"3"},{"op":"kv_del","store":"db","key":"gone"},{"op":"kv_add","store":"db","key":"n","delta":5},
		{"op":"metric","kind":"counter","name":"seen;kind=x","value":1},{"op":"http","method":"POST","url":"https://a.test/","headers":["A: b"],"body":"x"}]}`, "\n", ""))
	run(t, s, h)
	if _, ok, _ := st.Get([]byte("a")); ok {
		t.Error("a write did not wait for the commit")
	}
	if err := h.Commit(); err != nil {
		t.Fatal(err)
	}
	a, _, _ := st.Get([]byte("a"))
	odd, _, _ := st.Get([]byte{0xff})
	if n, _ := st.Add([]byte("n"), 0, 0); string(a) != "3" || string(odd) != "2" || n != 5 {
		t.Errorf("store has %q, %q, %d", a, odd, n)
	}
	wantFault(t, s, order(mail.PhaseMessage, 0, false, `{"ops":[{"op":"kv_put","store":"db","key":"a","value":"1","if_absent":true}]}`), CauseError, "op 0, kv_put: conflict")
}

// TestAnswersAreThoseOfTheSchema: ops, their members, and those of the input have
// the names of sdk/abi/command.schema.json.
func TestAnswersAreThoseOfTheSchema(t *testing.T) {
	b, err := os.ReadFile("../../../sdk/abi/command.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	type object struct {
		Properties map[string]struct {
			Items struct{ Properties map[string]any }
		}
	}
	var schema struct {
		Defs map[string]object `json:"$defs"`
	}
	if err := json.Unmarshal(b, &schema); err != nil {
		t.Fatal(err)
	}
	known := operations()
	read := membersOf(op{})
	for name, def := range schema.Defs {
		name, ok := strings.CutPrefix(name, "op_")
		if !ok {
			continue
		}
		if known[name] == nil {
			t.Errorf("the schema has the op %s, which is not done", name)
		}
		delete(known, name)
		for m := range def.Properties {
			if !read[m] {
				t.Errorf("op %s has the member %s, which is not read", name, m)
			}
		}
	}
	if len(known) > 0 {
		t.Errorf("the schema lacks the ops %v", sorted(known))
	}
	for m := range schema.Defs["output"].Properties {
		if !membersOf(answer{})[m] {
			t.Errorf("an answer has the member %s, which is not read", m)
		}
	}
	checkInput(t, schema.Defs["input"].Properties["headers"].Items.Properties, func(m string) bool { _, ok := schema.Defs["input"].Properties[m]; return ok })
}

// membersOf returns the JSON names of a struct's fields.
func membersOf(v any) map[string]bool {
	out := map[string]bool{}
	for n := range reflect.TypeOf(v).NumField() {
		out[reflect.TypeOf(v).Field(n).Tag.Get("json")] = true
	}
	return out
}

// checkInput makes a snapshot with all that there is and looks at its members.
func checkInput(t *testing.T, header map[string]any, has func(string) bool) {
	t.Helper()
	s := newTestStage(t, load(t, newHost(t, Options{Version: "1"}), "guests/obey.wasm"), StageOptions{Grant: everything(), Phases: mail.Phases(mail.PhaseMessage)})
	i, _, err := s.start(context.Background(), s.limits.MessageDeadline)
	if err != nil {
		t.Fatal(err)
	}
	defer s.finish(i)
	env := testEnvelope()
	env.Meta, env.Client.Notes = map[string]string{"a.b": "c"}, map[string]string{"d.e": "f"}
	env.Scores = []mail.Score{{Stage: "a", Symbol: "B", Milli: 1}}
	env.Client.PeerCert, env.Client.Name = strings.Repeat("\xff", 32), "\xff"
	i.hook = newHook(mail.PhaseMessage, 0, env)
	var got map[string]any
	if err := json.Unmarshal(i.commandJSON(), &got); err != nil {
		t.Fatal(err)
	}
	for m := range got {
		if !has(m) {
			t.Errorf("a snapshot has the member %s, which the schema has not", m)
		}
	}
	for _, m := range []string{"headers", "recipients", "symbols", "meta", "session", "peer_cert_sha256_b64", "rdns_b64"} {
		if got[m] == nil {
			t.Errorf("a snapshot has no member %s", m)
		}
	}
	for m := range got["headers"].([]any)[0].(map[string]any) {
		if header[m] == nil {
			t.Errorf("a header field has the member %s, which the schema has not", m)
		}
	}
}

// TestPasswordOfACommand is on its input alone, with the grant.
func TestPasswordOfACommand(t *testing.T) {
	for _, granted := range []bool{false, true} {
		g := Grant{Read: []string{"envelope"}}
		if granted {
			g.Read = append(g.Read, "auth")
		}
		s := newTestStage(t, load(t, newHost(t, Options{}), "guests/obey.wasm"), StageOptions{Grant: g, Phases: mail.Phases(mail.PhaseAuth),
			Secrets: map[string]string{"KEY": "v"}})
		i, _, err := s.start(context.Background(), s.limits.MessageDeadline)
		if err != nil {
			t.Fatal(err)
		}
		i.hook = newHook(mail.PhaseAuth, 0, testEnvelope()).With(pipeline.Setup{Password: []byte("secret")})
		if got := strings.Contains(string(i.commandJSON()), `"auth_password_b64":"c2VjcmV0"`); got != granted || strings.Contains(string(i.snapshotJSON()), "password") {
			t.Errorf("granted %v: %s", granted, i.commandJSON())
		}
		if env := i.newProgram().env; len(env) != 0 {
			t.Errorf("environment %q without a grant", env)
		}
		s.grant.Secrets = []string{"KEY"}
		if env := i.newProgram().env; len(env) != 1 || env[0] != "KEY=v" {
			t.Errorf("environment %q", env)
		}
		s.finish(i)
	}
}

// TestSnapshotNames: the members of a snapshot are the fields of the ABI, each of
// them, under their names.
func TestSnapshotNames(t *testing.T) {
	b, err := os.ReadFile("../../../sdk/abi/abi.json")
	if err != nil {
		t.Fatal(err)
	}
	var spec struct {
		Fields []struct {
			Number  int    `json:"number"`
			Name    string `json:"name"`
			Type    string `json:"type"`
			Indexed bool   `json:"indexed"`
		} `json:"fields"`
	}
	if err := json.Unmarshal(b, &spec); err != nil || len(spec.Fields) == 0 {
		t.Fatal(err, len(spec.Fields))
	}
	want, got := map[string]fact{}, map[string]fact{}
	for _, f := range spec.Fields {
		if f.Name == "auth_password" { // which is in no snapshot
			continue
		}
		want[fmt.Sprint(f.Indexed, f.Name)] = fact{f.Name, f.Number, f.Type == "int", f.Type == "bytes"}
	}
	for _, f := range facts() {
		got[fmt.Sprint(false, f.name)] = f
	}
	for _, f := range recipientFacts() {
		got[fmt.Sprint(true, f.name)] = f
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("snapshot has\n%v\nthe ABI has\n%v", got, want)
	}
}

// TestHeaderInCommon: of the fields that two headers share, as many as can be
// stay where they are.
func TestHeaderInCommon(t *testing.T) {
	fields := func(s string) []mail.Field {
		var raw string
		for _, c := range s {
			raw += string(c) + ": x\r\n"
		}
		h := mail.ParseHeader([]byte(raw))
		return h.Fields()
	}
	for _, c := range []struct {
		old, fresh string
		kept       int
	}{
		{"", "", 0}, {"abc", "", 0}, {"", "abc", 0}, {"abc", "abc", 3}, {"abc", "cab", 2}, {"abc", "xaybzc", 3},
		{"aaab", "aab", 3}, {"abcdefgh", "hbcdefga", 6}, {"abc", "cba", 1}, {"abcabc", "bcabca", 4},
	} {
		p := common(fields(c.old), fields(c.fresh))
		if len(p.from) != c.kept || len(p.old) != c.kept {
			t.Errorf("%s and %s have %d in common, want %d", c.old, c.fresh, len(p.from), c.kept)
		}
		last := -1
		for n := range c.fresh {
			if o, ok := p.from[n]; ok {
				if o <= last || c.old[o] != c.fresh[n] {
					t.Errorf("%s and %s: pair %d, %d", c.old, c.fresh, o, n)
				}
				last = o
			}
		}
	}
}

// FuzzAnswer: whatever a command writes, in whatever pieces, is an answer or a
// fault, and the message that comes of it is a message.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte(`{"verdict":"reject","ops":[{"op":"hdr_add","name":"A","value":"b"}]}`), 3, false)
	f.Add([]byte("{\"body\":\"replace\"}\nA: b\r\n c\n\nbody\r"), 1, false)
	f.Add([]byte("A: b\r\n c\n\nbody\r"), 2, true)
	s := newTestStage(f, load(f, newHost(f, Options{}), "guests/cat.wasm"), StageOptions{Grant: everything()})
	i, _, err := s.start(context.Background(), s.limits.MessageDeadline)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { s.finish(i) })
	f.Fuzz(func(t *testing.T, out []byte, piece int, filter bool) {
		h := newHook(mail.PhaseMessage, 0, testEnvelope())
		i.begin(h, "", s.limits.MessageDeadline)
		defer i.end()
		var o stdout = &jsonOutput{i: i}
		if filter {
			o = &filterOutput{m: replacement{i: i}}
		}
		for piece = max(1, piece); len(out) > 0; out = out[min(len(out), piece):] {
			if err := o.write(out[:min(len(out), piece)]); err != nil {
				h.Drop()
				return
			}
		}
		if _, err := o.end(); err != nil {
			h.Drop()
			return
		}
		if got := message(t, h, "Hello.\r\n"); strings.Contains(strings.ReplaceAll(got, "\r\n", ""), "\n") {
			t.Errorf("a bare line feed in %q", got)
		}
	})
}

// A list of a hundred thousand empty ops is 1 MiB of JSON, and would be a
// gigabyte of them.
func TestOpsAreCountedWhileTheyAreRead(t *testing.T) {
	if _, err := parseAnswer([]byte(`{"ops": [` + strings.Repeat("{},", maxLine/3-10) + `{}]}`)); !errors.Is(err, abi.ErrLimit) {
		t.Errorf("error %v", err)
	}
	for line, want := range map[string]int{`{"ops": [{}, {}]}`: 2, `{"ops": null}`: 0, `{"ops": []}`: 0, `{}`: 0} {
		if a, err := parseAnswer([]byte(line)); err != nil || len(a.Ops) != want {
			t.Errorf("%s: %v", line, err)
		}
	}
	for _, line := range []string{`{"ops": {}}`, `{"ops": 1}`, `{"ops": [1]}`, `{"ops": [{"nmae": "X"}]}`, `{} ]`, `{} }`, `{} {}`} {
		if _, err := parseAnswer([]byte(line)); err == nil {
			t.Errorf("%s is taken", line)
		}
	}
}
