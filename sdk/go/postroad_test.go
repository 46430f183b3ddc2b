// SPDX-License-Identifier: Apache-2.0

package postroad_test

import (
	"errors"
	"io"
	"mime"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/postroad-mail/postroad/sdk/abi"
	"github.com/postroad-mail/postroad/sdk/go"
	"github.com/postroad-mail/postroad/sdk/go/fake"
)

// The fake is a host in every respect of the interface.
var _ postroad.Host = (*fake.Host)(nil)

func message(host *fake.Host) *postroad.Hook { return postroad.NewHook(host, postroad.Message, 0) }

func TestFactsLongerThanTheBuffer(t *testing.T) {
	long := strings.Repeat("x", 5000)
	h := message(&fake.Host{Sender: "ann@example.org", Text: map[int]string{abi.FieldHelo: long}})
	for range 2 { // the buffer has grown the second time
		if got, err := h.Get(abi.FieldHelo); got != long || err != nil {
			t.Fatalf("helo of %d octets, %v", len(got), err)
		}
		if got, err := h.Sender(); got != "ann@example.org" || err != nil {
			t.Fatalf("sender %q, %v", got, err)
		}
	}
	if got, err := h.Get(abi.FieldRDNS); got != "" || err != nil {
		t.Errorf("absent field: %q, %v", got, err)
	}
	if _, ok := h.GetInt(abi.FieldDeclaredSize); ok {
		t.Error("an absent integer is there")
	}
}

func TestHeaderEdits(t *testing.T) {
	host := &fake.Host{Header: []fake.Field{{Name: "Subject", Value: "a"}, {Name: "Received", Value: "1"}, {Name: "received", Value: "2"}}}
	h := message(host)
	id, ok, err := h.FindHeader("Received", postroad.None)
	if !ok || err != nil {
		t.Fatal(ok, err)
	}
	second, ok, err := h.FindHeader("RECEIVED", id)
	if !ok || err != nil {
		t.Fatal(ok, err)
	}
	for _, step := range []error{
		add(h, postroad.After(second), "X-After", "v"), add(h, postroad.Before(second), "X-Before", "v"),
		add(h, postroad.Top, "X-Top", "grüße"), add(h, postroad.End, "X-End", "v"),
		h.DeleteHeader(id), h.SetHeader(second, "two"),
	} {
		if step != nil {
			t.Fatal(step)
		}
	}
	want := []fake.Field{
		{Name: "X-Top", Value: "=?utf-8?q?gr=C3=BC=C3=9Fe?="}, {Name: "Subject", Value: "a"}, {Name: "X-Before", Value: "v"}, {Name: "received", Value: "two"}, {Name: "X-After", Value: "v"}, {Name: "X-End", Value: "v"},
	}
	if !reflect.DeepEqual(host.Header, want) {
		t.Errorf("header %v, want %v", host.Header, want)
	}
	if got, err := h.Header("x-top"); got != "grüße" || err != nil {
		t.Errorf("decoded value %q, %v", got, err)
	}
	if err := h.SetHeader(second, "a\r\nBcc: b"); !errors.Is(err, abi.ErrBadArgument) {
		t.Errorf("a value with a line end: %v", err)
	}
}

func add(h *postroad.Hook, at postroad.Place, name, value string) error {
	_, err := h.AddHeader(at, name, value)
	return err
}

func TestSMTPUTF8LeavesTextAlone(t *testing.T) {
	host := &fake.Host{Int: map[int]int64{abi.FieldFlags: abi.FlagSMTPUTF8}}
	if err := add(message(host), postroad.Top, "X-A", "grüße"); err != nil || host.Header[0].Value != "grüße" {
		t.Errorf("value %q, %v", host.Header, err)
	}
}

func TestEncodedWords(t *testing.T) {
	for _, text := range []string{"é", "日本語" + strings.Repeat("の長い件名", 20), "a b_c=d?e é", strings.Repeat("é", 200)} {
		host := &fake.Host{}
		if err := add(message(host), postroad.Top, "Subject", text); err != nil {
			t.Fatal(err)
		}
		value := host.Header[0].Value
		for _, word := range strings.Split(value, " ") {
			if len(word) > 75 {
				t.Errorf("encoded word of %d octets", len(word))
			}
		}
		if got, err := new(mime.WordDecoder).DecodeHeader(value); got != text || err != nil {
			t.Errorf("%q came back as %q, %v", text, got, err)
		}
	}
}

func TestReadAndWriteBody(t *testing.T) {
	host := &fake.Host{Body: "one\r\ntwo\r\n", Header: []fake.Field{{Name: "A", Value: "b"}}}
	h := message(host)
	all, err := io.ReadAll(h.Reader(postroad.WholeMessage))
	if string(all) != "A: b\r\n\r\none\r\ntwo\r\n" || err != nil {
		t.Errorf("message %q, %v", all, err)
	}
	p := make([]byte, 3)
	if n, err := h.ReadAt(postroad.BodyOnly, p, 5); n != 3 || err != nil || string(p) != "two" {
		t.Errorf("read %q, %v", p[:n], err)
	}
	if n, err := h.ReadAt(postroad.BodyOnly, p, 9); n != 1 || err != io.EOF {
		t.Errorf("read at the end: %d, %v", n, err)
	}
	for _, err := range []error{h.WriteBody([]byte("x"), true), h.WriteBody([]byte("y"), false)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if string(host.NewBody) != "xy" || host.Body != "one\r\ntwo\r\n" {
		t.Errorf("new body %q, body %q", host.NewBody, host.Body)
	}
}

func TestRecipientsRoutesVerdicts(t *testing.T) {
	host := &fake.Host{Recipients: []fake.Recipient{{Address: "a@x.test", Original: "A@x.test"}, {Address: "b@x.test"}}}
	h := message(host)
	if i, err := h.AddRecipient("c@x.test"); i != 2 || err != nil {
		t.Fatal(i, err)
	}
	for _, err := range []error{
		h.SetRecipient(0, "z@x.test"), h.DeleteRecipient(1), h.SetRoute(0, "bulk"), h.SetNextHop(postroad.All, "mx.x.test:25"),
		h.RecipientVerdict(2, postroad.Reject, 550, postroad.Enhanced{5, 1, 1}, "no such user"), h.SetSender(""),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if a, err := h.Recipient(1); a != "" || err != nil || h.RecipientCount() != 3 {
		t.Errorf("removed recipient %q of %d, %v", a, h.RecipientCount(), err)
	}
	if a, _ := h.OriginalRecipient(0); a != "A@x.test" {
		t.Errorf("original recipient %q", a)
	}
	if host.Routes[0] != "bulk" || host.Routes[-1] != "mx.x.test:25" || host.Verdicts[2] != "2 550 5.1.1 no such user" {
		t.Errorf("routes %v, verdicts %v", host.Routes, host.Verdicts)
	}
	if err := h.SetRecipient(1, "y@x.test"); !errors.Is(err, abi.ErrNotFound) {
		t.Errorf("edit of a removed recipient: %v", err)
	}
}

func TestStateOfTheHost(t *testing.T) {
	host := &fake.Host{Stage: "greylist", Stores: map[string]map[string][]byte{"seen": {}}, Buckets: map[string]int{"slow": 1}}
	h := message(host)
	s, err := h.Store("seen")
	if err != nil {
		t.Fatal(err)
	}
	if _, ok, err := s.Get("k"); ok || err != nil {
		t.Error("a key that nobody set is there")
	}
	for _, err := range []error{s.Put("k", []byte("1"), 0), s.CompareAndSwap("k", []byte("1"), []byte("2"), 0), s.Delete("none")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if v, ok, _ := s.Get("k"); !ok || string(v) != "2" {
		t.Errorf("value %q", v)
	}
	if err := s.PutIfAbsent("k", nil, 0); !errors.Is(err, abi.ErrConflict) {
		t.Errorf("put of a key that exists: %v", err)
	}
	for want := int64(5); want <= 10; want += 5 {
		if n, err := s.Add("n", 5, 0); n != want || err != nil {
			t.Errorf("counter %d, %v", n, err)
		}
	}
	if _, err := h.Store("other"); !errors.Is(err, abi.ErrDenied) {
		t.Errorf("store without a grant: %v", err)
	}
	b, err := h.Bucket("slow")
	if err != nil {
		t.Fatal(err)
	}
	if ok, _, err := b.Take("k", 1); !ok || err != nil {
		t.Error("a full bucket denied")
	}
	if ok, wait, _ := b.Take("k", 1); ok || wait == 0 {
		t.Errorf("an empty bucket: %v, wait %v", ok, wait)
	}
	if err := h.SetMeta(postroad.WithMessage, "a", "1"); err != nil || host.Notes[0]["greylist.a"] != "1" {
		t.Errorf("notes %v, %v", host.Notes, err)
	}
	if v, _ := h.Meta(postroad.WithMessage, "a"); v != "1" {
		t.Errorf("own note %q", v)
	}
}

func TestPartsAreRead(t *testing.T) {
	h := message(&fake.Host{Parts: []map[int]string{{abi.PartType: "text/plain"}}, Contents: []string{"one\r\ntwo\r\n"}})
	all, err := io.ReadAll(h.PartReader(0, postroad.DecodedPart))
	if string(all) != "one\r\ntwo\r\n" || err != nil {
		t.Errorf("part %q, %v", all, err)
	}
	p := make([]byte, 4)
	if n, err := h.ReadPartAt(0, postroad.TextPart, p, 5); n != 4 || err != nil || string(p) != "two\r" {
		t.Errorf("read %q, %v", p[:n], err)
	}
	if _, err := h.ReadPartAt(1, postroad.RawPart, p, 0); !errors.Is(err, abi.ErrNotFound) {
		t.Errorf("a part that is not there: %v", err)
	}
}

func TestScoresQueueAndNewMessages(t *testing.T) {
	host := &fake.Host{Recipients: []fake.Recipient{{Address: "a@x.test"}, {Address: "b@x.test"}}}
	h := message(host)
	child, err := h.Split(1)
	if child != 1 || err != nil {
		t.Fatal(child, err)
	}
	for _, err := range []error{
		h.AddScore("A", 1500), h.AddScore("B", -500), h.Use(child), h.Use(postroad.Parent), h.SetPriority(-7), h.SetReport(false),
		h.SetNotBefore(time.UnixMilli(1234)), h.SetExpires(time.Time{}),
		h.Emit(postroad.Emission{Recipients: []string{"a@x.test", "b@x.test"}, Header: "Subject: x\r\n", BodyOfMessage: true}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if n, ok := h.GetInt(abi.FieldScore); n != 1000 || !ok {
		t.Errorf("score %d", n)
	}
	want := map[int]int64{abi.QueuePriority: -7, abi.QueueDSN: 0, abi.QueueNotBefore: 1234, abi.QueueExpires: 0}
	if !reflect.DeepEqual(host.Queue, want) || !reflect.DeepEqual(host.Children, [][]int{{1}}) {
		t.Errorf("queue %v, children %v", host.Queue, host.Children)
	}
	if got := host.Emission(0, abi.EmitRecipient); !reflect.DeepEqual(got, []string{"a@x.test", "b@x.test"}) || len(host.Emission(0, abi.EmitSender)) != 0 {
		t.Errorf("emitted for %v", got)
	}
	if err := h.Use(2); !errors.Is(err, abi.ErrNotFound) {
		t.Errorf("a child that is not there: %v", err)
	}
}

func TestQuestions(t *testing.T) {
	host := &fake.Host{
		Zone: map[string][]fake.Record{"x.test/15": {{TTL: 60, Data: "mx.x.test", Preference: 10}}},
		Answer: func(r fake.Request) fake.Response {
			return fake.Response{Status: 201, Body: r.Method + r.Body, Header: map[string]string{"X-A": "b"}}
		},
		Secrets: map[string]string{"key": "hush"}, EHLO: []string{"CHUNKING", "SIZE 100"}, Randomness: 7,
	}
	h := postroad.NewHook(host, postroad.Helo, 0)
	a, err := h.Lookup(postroad.TypeMX, "X.test")
	if err != nil || len(a.Records) != 1 || a.Records[0] != (postroad.Record{TTL: time.Minute, Data: "mx.x.test", Preference: 10}) {
		t.Errorf("answer %+v, %v", a, err)
	}
	if a, err := h.Lookup(postroad.TypeA, "none.test"); err != nil || len(a.Records) != 0 {
		t.Errorf("a name that does not exist: %+v, %v", a, err)
	}
	r, err := h.Do(postroad.Request{Method: "POST", URL: "https://x/", Body: "hi"})
	if err != nil || r.Status != 201 || r.Size != 6 {
		t.Fatalf("response %+v, %v", r, err)
	}
	body, err := io.ReadAll(r.Body())
	field, _ := r.Header("x-a")
	none, noErr := r.Header("X-B")
	if string(body) != "POSThi" || err != nil || field != "b" || none != "" || noErr != nil {
		t.Errorf("body %q, %v, header %q and %q, %v", body, err, field, none, noErr)
	}
	if err := h.Send(postroad.Request{URL: "https://y/"}); err != nil || len(host.Sent) != 2 || !host.Sent[1].AtCommit {
		t.Errorf("sent %+v, %v", host.Sent, err)
	}
	if s, err := h.Secret("key"); s != "hush" || err != nil {
		t.Errorf("secret %q, %v", s, err)
	}
	if _, err := h.Secret("other"); !errors.Is(err, abi.ErrDenied) {
		t.Errorf("secret without a grant: %v", err)
	}
	for _, err := range []error{h.RemoveEHLO("chunking"), h.AddEHLO("X-NEW 1"), h.Count("n", 2, "a=b"), h.Count("n", 3, "a=b"), h.SetGauge("g", -1), h.Observe("o", 4)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if !reflect.DeepEqual(host.EHLO, []string{"SIZE 100", "X-NEW 1"}) || host.Metrics["n;a=b"] != 5 || host.Metrics["g"] != -1 {
		t.Errorf("EHLO %v, metrics %v", host.EHLO, host.Metrics)
	}
	p := make([]byte, 3)
	if err := h.Random(p); err != nil || !reflect.DeepEqual(p, []byte{7, 7, 7}) {
		t.Errorf("random %v, %v", p, err)
	}
}

func TestSnapshotOfTheFake(t *testing.T) {
	host := &fake.Host{
		Stage: "s", Sender: "ann@example.org", Text: map[int]string{abi.FieldClientIP: "192.0.2.1"}, Int: map[int]int64{abi.FieldClientPort: 25},
		Recipients: []fake.Recipient{{Address: "gone@x.test", Removed: true}, {Address: "b@x.test", Original: "B@x.test"}},
		Header:     []fake.Field{{Name: "A", Value: "b"}}, Scores: map[string]int{"S": -5},
	}
	s, err := message(host).Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	ip, _ := s.Get(abi.FieldClientIP)
	port, _ := s.GetInt(abi.FieldClientPort)
	if ip != "192.0.2.1" || port != 25 || len(s.Recipients) != 1 || s.Recipients[0].Index != 1 || s.Header[0] != "A: b\r\n" || s.Symbols[0].Milli != -5 {
		t.Errorf("snapshot %+v", s)
	}
	if a, _ := s.Recipients[0].Get(abi.FieldOriginalRcpt); a != "B@x.test" {
		t.Errorf("original %q", a)
	}
	if b, err := message(host).SnapshotJSON(); err != nil || !strings.Contains(string(b), `"client_ip":"192.0.2.1"`) {
		t.Errorf("JSON %s, %v", b, err)
	}
}

// scripted is a plugin that does what a test says.
type scripted struct {
	init func(*postroad.Env, []byte) (postroad.Phases, error)
	on   func(*postroad.Hook) (postroad.Verdict, error)
}

func (s scripted) Init(e *postroad.Env, c []byte) (postroad.Phases, error) { return s.init(e, c) }

func (s scripted) On(h *postroad.Hook) (postroad.Verdict, error) { return s.on(h) }

func TestStart(t *testing.T) {
	host := &fake.Host{JSON: `{"a":1}`}
	ok := scripted{init: func(_ *postroad.Env, c []byte) (postroad.Phases, error) {
		if string(c) != `{"a":1}` {
			return 0, errors.New("config is " + string(c))
		}
		return postroad.In(postroad.Mail, postroad.Message), nil
	}}
	if got := postroad.Start(host, ok); got != 1<<4|1<<9 {
		t.Errorf("pr_init returned %#x", got)
	}
	bad := scripted{init: func(*postroad.Env, []byte) (postroad.Phases, error) { return 0, errors.New("limit: no such key") }}
	if got := postroad.Start(host, bad); got >= 0 || len(host.Logged) != 1 || host.Logged[0] != "limit: no such key" {
		t.Errorf("pr_init returned %d, log %q", got, host.Logged)
	}
}

func TestCall(t *testing.T) {
	cases := []struct {
		name string
		on   func(*postroad.Hook) (postroad.Verdict, error)
		want int32
		log  string
	}{
		{"verdict", func(h *postroad.Hook) (postroad.Verdict, error) { return h.Reject("no") }, abi.VerdictReject, ""},
		{"errno", func(*postroad.Hook) (postroad.Verdict, error) { return 0, abi.ErrLimit }, int32(abi.ErrLimit), "limit reached"},
		{"error", func(*postroad.Hook) (postroad.Verdict, error) { return 0, errors.New("odd") }, int32(abi.ErrIO), "odd"},
		{"panic", func(*postroad.Hook) (postroad.Verdict, error) { panic("boom") }, int32(abi.ErrIO), "panic: boom"},
		{"runtime panic", func(h *postroad.Hook) (postroad.Verdict, error) { return []postroad.Verdict{}[h.Arg()], nil }, int32(abi.ErrIO), "panic: runtime error"},
	}
	for _, c := range cases {
		host := &fake.Host{}
		if got := postroad.Call(host, scripted{on: c.on}, postroad.Rcpt, 3); got != c.want {
			t.Errorf("%s: pr_on returned %d, want %d", c.name, got, c.want)
		}
		if log := strings.Join(host.Logged, "|"); !strings.HasPrefix(log, c.log) {
			t.Errorf("%s: log %q", c.name, log)
		}
	}
}

func TestOnMessage(t *testing.T) {
	p := postroad.OnMessage(func(h *postroad.Hook) (postroad.Verdict, error) { return h.Tempfail("later") })
	host := &fake.Host{}
	if got := postroad.Start(host, p); got != 1<<abi.PhaseMessage {
		t.Errorf("phases %#x", got)
	}
	if got := postroad.Call(host, p, postroad.Message, 0); got != abi.VerdictTempfail || host.Response != "451 4.7.1 later" {
		t.Errorf("verdict %d, reply %q", got, host.Response)
	}
}
