// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/postroad-mail/postroad/core/mail"
)

func fullEnvelope() *mail.Envelope {
	return &mail.Envelope{
		ID:             ident("x"),
		Sender:         "now@sender.example",
		OriginalSender: "was@sender.example",
		Recipients: []mail.Recipient{
			{Address: "a@one.example", Original: "a@one.example"},
			{Address: "b@two.example", Original: "old@two.example", Route: "mx", NextHop: "mail.example:25", Removed: true},
			{Address: "ü@three.example"},
		},
		Client: mail.Client{
			Addr: netip.MustParseAddrPort("[2001:db8::1]:1025"), Name: "client.example", Helo: "helo.example",
			Protocol: "ESMTPS", TLSVersion: "TLS1.3", TLSCipher: "TLS_AES_128_GCM_SHA256", User: "u",
			Listener: "mx", SessionID: "s1", Authenticated: true,
		},
		Received: start.Add(123456789), DeclaredSize: 5000, SMTPUTF8: true, EightBit: true,
		Tenant: "t", Campaign: "c", Meta: map[string]string{"filter.score": "3", "b": ""},
	}
}

// stagedEnvelope has what version 2 added.
func stagedEnvelope() *mail.Envelope {
	e := fullEnvelope()
	e.Recipients[1].Outside = true
	e.Client.Mechanism, e.Client.PeerCert = "PLAIN", strings.Repeat("\xff", 32)
	e.Params, e.Recipients[0].Params = "SIZE=5000 BODY=8BITMIME", "NOTIFY=NEVER"
	e.Scores = []mail.Score{{Stage: "spam", Symbol: "BAYES", Milli: -3500}, {Stage: "b", Symbol: "X", Milli: 1<<31 - 1}}
	e.Stages = []mail.StageMark{
		{Stage: "spam", Code: "sha256:" + strings.Repeat("0a", 32)}, {Stage: "go", Code: "native:go"},
		{Stage: "odd", Code: "sha256:" + strings.Repeat("0A", 32)}, {Stage: "none"},
	}
	e.NotBefore, e.Expires, e.Priority, e.NoDSN = start.Add(time.Hour), start.Add(2*time.Hour), -100, true
	return e
}

// reportedEnvelope has what version 3 added.
func reportedEnvelope() *mail.Envelope {
	e := stagedEnvelope()
	e.Return, e.EnvelopeID = mail.ReturnHeaders, "QQ 314"
	e.Recipients[0].Notify, e.Recipients[0].ORCPT = mail.NotifySuccess|mail.NotifyDelay, "rfc822;a@one.example"
	e.Recipients[1].Notify = mail.NotifyNever
	e.Recipients[2].ORCPT = "utf-8;ü@three.example"
	return e
}

// extendedEnvelope has what version 4 added.
func extendedEnvelope() *mail.Envelope {
	e := reportedEnvelope()
	e.Binary, e.RequireTLS, e.MTPriority = true, true, true
	e.DeliverBy = mail.DeliverBy{At: start.Add(time.Hour), Return: true, Trace: true}
	e.Recipients[0].ValidSince = mail.ValidSince{At: start.Add(-time.Hour), Continue: true}
	e.Recipients[2].ValidSince = mail.ValidSince{At: start.Add(-2 * time.Hour)}
	return e
}

// golden returns the octets that a file of testdata has in hexadecimal.
func golden(t *testing.T, file string) []byte {
	t.Helper()
	text, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	b, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A queue that an earlier version wrote is still there after an upgrade.
func TestAnEnvelopeOfAnEarlierVersionIsRead(t *testing.T) {
	for file, env := range map[string]*mail.Envelope{"envelope-1.hex": fullEnvelope(), "envelope-2.hex": stagedEnvelope(), "envelope-3.hex": reportedEnvelope()} {
		got, err := readEnvelope(ident("x"), golden(t, file))
		want := &record{env: env, header: 100, body: 1 << 40, onFile: true}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v\ngot  %+v\nwant %+v", file, err, got.env, want.env)
		}
	}
}

func TestAStateOfVersion1IsRead(t *testing.T) {
	want := State{
		Attempts: 7, Next: start, FirstTry: start.Add(-time.Hour),
		Last: mail.Outcome{
			Recipient: 3, NextHop: "mx.example", Address: "192.0.2.1:25", TLS: "TLS1.3", Remote: true,
			Reply: mail.Reply{Code: 450, Enhanced: mail.Enhanced{4, 2, 0}, Text: "not now"},
		},
	}
	if got, err := readState(3, golden(t, "state-1.hex")); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v\ngot  %+v\nwant %+v", err, got, want)
	}
}

// What no sender can ask for is damage.
func TestWishesThatCannotBe(t *testing.T) {
	e := &mail.Envelope{Recipients: []mail.Recipient{{Address: "a@x.test", Notify: mail.NotifyNever | mail.NotifyDelay}}}
	if _, err := readEnvelope(ident("x"), appendEnvelope(nil, &record{env: e})); !errors.Is(err, ErrDamaged) {
		t.Errorf("NEVER,DELAY: %v", err)
	}
	b := appendEnvelope(nil, &record{env: &mail.Envelope{}})
	b[1] |= flagReturnFull | flagReturnHeaders
	if _, err := readEnvelope(ident("x"), b); !errors.Is(err, ErrDamaged) {
		t.Errorf("FULL and HDRS: %v", err)
	}
}

// A stage's digest takes its 32 octets and no more, for it is in every record.
func TestTheMarkOfAStageIsShort(t *testing.T) {
	e := &mail.Envelope{}
	plain := len(appendEnvelope(nil, &record{env: e}))
	e.Stages = []mail.StageMark{{Stage: "spam", Code: "sha256:" + strings.Repeat("0a", 32)}}
	if n := len(appendEnvelope(nil, &record{env: e})) - plain; n != len("spam")+1+1+32 {
		t.Errorf("a mark takes %d octets", n)
	}
}

func TestEnvelopeRecord(t *testing.T) {
	for _, want := range []*record{
		{env: fullEnvelope(), header: 100, body: 1 << 40, onFile: true},
		{env: stagedEnvelope(), header: 100},
		{env: reportedEnvelope(), header: 100},
		{env: extendedEnvelope(), header: 100},
		{env: &mail.Envelope{ID: ident("w"), TLSOptional: true, DeliverBy: mail.DeliverBy{At: start}, Recipients: []mail.Recipient{}}},
		{env: &mail.Envelope{ID: ident("z"), Return: mail.ReturnFull, Recipients: []mail.Recipient{}}},
		{env: &mail.Envelope{ID: ident("y"), Recipients: []mail.Recipient{}}},
	} {
		rec := appendEnvelope(nil, want)
		got, err := readEnvelope(want.env.ID, rec)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%v\ngot  %+v\nwant %+v", err, got.env, want.env)
		}
		for n := range rec {
			if _, err := readEnvelope(want.env.ID, rec[:n]); !errors.Is(err, ErrDamaged) {
				t.Errorf("the first %d of %d octets: %v", n, len(rec), err)
			}
		}
		if _, err := readEnvelope(want.env.ID, append(rec, 0)); !errors.Is(err, ErrDamaged) {
			t.Errorf("an octet too many: %v", err)
		}
	}
	rec := appendEnvelope(nil, &record{env: fullEnvelope()})
	rec[0] = envelopeVersion + 1
	if _, err := readEnvelope("x", rec); err == nil || !strings.Contains(err.Error(), "version 5, this program knows 4") {
		t.Errorf("a newer version: %v", err)
	}
}

func TestStateRecord(t *testing.T) {
	want := State{
		Status: mail.Failed, Attempts: 7, Next: start, FirstTry: start.Add(-time.Hour), Warned: true, WarnedAt: start.Add(-time.Minute),
		Last: mail.Outcome{
			Recipient: 3, Status: mail.Failed, NextHop: "mx.example", Address: "192.0.2.1:25", TLS: "TLS1.3", Remote: true,
			Reply: mail.Reply{Code: 550, Enhanced: mail.Enhanced{5, 1, 1}, Text: "no such user"},
		},
	}
	if got, err := readState(3, appendState(nil, &want)); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v\ngot  %+v\nwant %+v", err, got, want)
	}
	old := appendState(nil, &State{Attempts: 7, Warned: true})
	old = old[:len(old)-1] // version 2 did not say when
	old[0] = 2
	if got, err := readState(3, old); err != nil || !got.Warned || !got.WarnedAt.IsZero() || got.Attempts != 7 {
		t.Errorf("a record of version 2: %v %+v", err, got)
	}
	wild := State{Last: mail.Outcome{Reply: mail.Reply{Code: 99999, Enhanced: mail.Enhanced{-1, 1 << 40, 5}, Text: strings.Repeat("ü", 1000)}}}
	got, err := readState(0, appendState(nil, &wild))
	if err != nil || got.Last.Reply.Code != maxCode || got.Last.Reply.Enhanced != (mail.Enhanced{0, maxCode, 5}) {
		t.Errorf("a wild reply: %v %+v", err, got)
	}
	if text := got.Last.Reply.Text; len(text) > maxText || len(text) < maxText-4 || !utf8.ValidString(text) {
		t.Errorf("a long reply is cut to %d octets", len(text))
	}
}

func TestHoldRecord(t *testing.T) {
	for _, until := range []time.Time{{}, start} {
		want := &Hold{Kind: Quarantine, Reason: "virus", By: "scan", Until: until, Since: start}
		if got, err := readHold(appendHold(nil, want)); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%v\ngot  %+v\nwant %+v", err, got, want)
		}
	}
	far := &Hold{Kind: OnHold, Until: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)}
	if got, err := readHold(appendHold(nil, far)); err != nil || got.Until.Year() < 2262 {
		t.Errorf("a hold to the year 9999: %v %v", got, err)
	}
}

func FuzzRecords(f *testing.F) {
	f.Add(appendEnvelope(nil, &record{env: fullEnvelope(), header: 5, body: 6}))
	f.Add(appendEnvelope(nil, &record{env: stagedEnvelope(), header: 5, body: 6}))
	f.Add(appendEnvelope(nil, &record{env: reportedEnvelope(), header: 5, body: 6}))
	f.Add(appendState(nil, &State{Warned: true, Last: mail.Outcome{Reply: mail.Reply{Text: "x"}}}))
	f.Add(appendHold(nil, &Hold{Kind: OnHold, Reason: "r", Until: start}))
	f.Add(appendSuspension(nil, &Suspension{Tenant: "t", Reason: "r", Until: start}))
	f.Fuzz(func(t *testing.T, b []byte) {
		id := ident("x")
		if s, err := readSuspension(id, b); err == nil {
			if again, err := readSuspension(id, appendSuspension(nil, &s)); err != nil || again != s {
				t.Errorf("%v: %+v, then %+v", err, s, again)
			}
		}
		skims(t, id, b)
		if r, err := readEnvelope(id, b); err == nil {
			again, err := readEnvelope(id, appendEnvelope(nil, r))
			if err != nil || !reflect.DeepEqual(r, again) {
				t.Errorf("%v\nfirst  %+v\nsecond %+v", err, r.env, again.env)
			}
		}
		if s, err := readState(1, b); err == nil {
			if _, err := readState(1, appendState(nil, &s)); err != nil {
				t.Error(err)
			}
		}
		if h, err := readHold(b); err == nil {
			if _, err := readHold(appendHold(nil, h)); err != nil {
				t.Error(err)
			}
		}
	})
}

// skims checks that an index that is read by skimming is the one that reading would
// make, with the same faults.
func skims(t *testing.T, id string, b []byte) {
	t.Helper()
	r, err := readEnvelope(id, b)
	k, kerr := skimEnvelope(id, b)
	if fmt.Sprint(err) != fmt.Sprint(kerr) {
		t.Errorf("envelope: read %v, skimmed %v", err, kerr)
	} else if err == nil && !reflect.DeepEqual(newEntry(r, r.contentLen(), start), newEntry(k, k.contentLen(), start)) {
		t.Errorf("entry: read %+v, skimmed %+v", r.env, k.env)
	}
	st, err := readState(1, b)
	kst, kerr := skimState(1, b)
	var s, ks slot
	if err == nil {
		s.load(st)
		ks.load(kst)
	}
	if fmt.Sprint(err) != fmt.Sprint(kerr) || s != ks {
		t.Errorf("state: read %v, skimmed %v: %+v, %+v", err, kerr, s, ks)
	}
}

// TestSkimmingSeesWhatReadingSees, also of records that end early.
func TestSkimmingSeesWhatReadingSees(t *testing.T) {
	for _, b := range [][]byte{
		appendEnvelope(nil, &record{env: fullEnvelope(), header: 5, body: 6}),
		appendEnvelope(nil, &record{env: stagedEnvelope(), header: 5, body: 6, onFile: true}),
		appendEnvelope(nil, &record{env: reportedEnvelope(), header: 5, body: 6}),
		appendState(nil, &State{Warned: true, Attempts: 3, Next: start, FirstTry: start, Last: mail.Outcome{Reply: mail.Reply{Text: "x"}}}),
	} {
		for n := range b {
			skims(t, ident("x"), b[:n])
		}
		skims(t, ident("x"), b)
		skims(t, ident("x"), append(b, 0))
	}
}

func FuzzKeys(f *testing.F) {
	f.Add(key(kindEnvelope, ident("x")))
	f.Add(stateKey(ident("x"), 7))
	f.Fuzz(func(t *testing.T, b []byte) {
		id, rcpt, err := splitKey(b)
		if err != nil {
			return
		}
		again := key(kind(b[1]), id)
		if kind(b[1]) == kindState {
			again = stateKey(id, rcpt)
		}
		if string(again[1:]) != string(b[1:]) {
			t.Errorf("%q becomes %q", b, again)
		}
	})
}

func TestIDs(t *testing.T) {
	for _, id := range []string{"", "x", "../../../../../../etc/passwd", strings.Repeat("a", idLen), strings.Repeat("A", idLen-1) + "/"} {
		if checkID(id) == nil {
			t.Errorf("id %q is accepted", id)
		}
	}
	a := DSNID(ident("x"), []int{1, 2}, 0)
	if checkID(a) != nil || a[:10] != ident("x")[:10] || a != DSNID(ident("x"), []int{1, 2}, 0) {
		t.Errorf("DSN id %q", a)
	}
	for _, b := range []string{DSNID(ident("y"), []int{1, 2}, 0), DSNID(ident("x"), []int{1}, 0), DSNID(ident("x"), []int{1, 2}, 1)} {
		if a == b {
			t.Error("two DSNs share an id")
		}
	}
}
