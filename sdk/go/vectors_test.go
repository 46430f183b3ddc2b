// SPDX-License-Identifier: Apache-2.0

package postroad

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"reflect"
	"testing"
	"time"

	"github.com/postroad-mail/postroad/sdk/abi"
)

// vector is one of sdk/abi/vectors.json.
type vector struct {
	Name, Of, Error, Hex string
	Entries              []vectorEntry
	octets               []byte
}

type vectorEntry struct {
	Tag     string
	Number  int
	Text    *string
	Hex     *string
	U16     *uint64
	U32     *uint64
	U64     *uint64
	I32     *int64
	I64     *int64
	Entries []vectorEntry
}

// vectors returns the golden vectors of one encoding.
func vectors(t *testing.T, of string) []vector {
	t.Helper()
	raw, err := os.ReadFile("../abi/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Vectors []vector }
	if err := json.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	var out []vector
	for _, v := range file.Vectors {
		if v.octets, err = hex.DecodeString(v.Hex); err != nil {
			t.Fatal(err)
		}
		if v.Of == of {
			out = append(out, v)
		}
	}
	if len(out) == 0 {
		t.Fatalf("no vector of %s", of)
	}
	return out
}

// octets returns a value as it is written.
func (e *vectorEntry) octets(t *testing.T) string {
	t.Helper()
	if e.Hex == nil {
		return *e.Text
	}
	b, err := hex.DecodeString(*e.Hex)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// recorder is a Host that keeps what it is given and answers with given octets.
type recorder struct {
	Host
	got  []byte
	give []byte
}

func (r *recorder) RouteSet(_ int, tlv []byte) int { r.got = tlv; return 0 }
func (r *recorder) Emit(tlv []byte) int            { r.got = tlv; return 0 }
func (r *recorder) Split(b []byte) int             { r.got = b; return 1 }

func (r *recorder) DNS(_ int, _ string, buf []byte) int { copy(buf, r.give); return len(r.give) }
func (r *recorder) Snapshot(_ int, buf []byte) int      { copy(buf, r.give); return len(r.give) }
func (r *recorder) HTTP(tlv, answer []byte) int {
	r.got = tlv
	copy(answer, r.give)
	return 0
}

func same(t *testing.T, v vector, got []byte, err error) {
	t.Helper()
	if err != nil || hex.EncodeToString(got) != v.Hex {
		t.Errorf("%s: %x, %v, want %s", v.Name, got, err, v.Hex)
	}
}

func TestVectorsOfRoutes(t *testing.T) {
	for _, v := range vectors(t, "route") {
		var seen []string
		err := eachTLV(v.octets, func(tag int, value []byte) error {
			seen = append(seen, string(value))
			return nil
		})
		if (err != nil) != (v.Error != "") || err == nil && len(seen) != len(v.Entries) {
			t.Errorf("%s: entries %q, %v", v.Name, seen, err)
		}
		if v.Error != "" || len(v.Entries) != 1 {
			continue
		}
		r := &recorder{}
		set := NewHook(r, Message, 0).SetRoute
		if v.Entries[0].Number == abi.RouteNextHop {
			set = NewHook(r, Message, 0).SetNextHop
		}
		err = set(All, *v.Entries[0].Text)
		same(t, v, r.got, err)
	}
}

func TestVectorsOfRequests(t *testing.T) {
	for _, v := range vectors(t, "http") {
		q, atCommit := Request{}, false
		for _, e := range v.Entries {
			switch e.Number {
			case abi.HTTPMethod:
				q.Method = *e.Text
			case abi.HTTPURL:
				q.URL = *e.Text
			case abi.HTTPHeader:
				q.Header = append(q.Header, *e.Text)
			case abi.HTTPBody:
				q.Body = *e.Text
			case abi.HTTPTimeout:
				q.Timeout = time.Duration(*e.U32) * time.Millisecond
			case abi.HTTPAtCommit:
				atCommit = true
			}
		}
		same(t, v, q.tlv(atCommit), nil)
	}
	for _, v := range vectors(t, "http_answer") {
		a, err := NewHook(&recorder{give: v.octets}, Message, 0).Do(Request{URL: "https://x/"})
		if err != nil || a.Status != int(*v.Entries[0].U32) || a.Size != int64(*v.Entries[1].U64) {
			t.Errorf("%s: %+v, %v", v.Name, a, err)
		}
	}
}

func TestVectorsOfNewMessages(t *testing.T) {
	for _, v := range vectors(t, "emit") {
		var e Emission
		for _, f := range v.Entries {
			switch f.Number {
			case abi.EmitSender:
				e.Sender = *f.Text
			case abi.EmitRecipient:
				e.Recipients = append(e.Recipients, *f.Text)
			case abi.EmitHeader:
				e.Header = *f.Text
			case abi.EmitBody:
				e.Body = *f.Text
			case abi.EmitBodyOfMessage:
				e.BodyOfMessage = true
			}
		}
		r := &recorder{}
		err := NewHook(r, Message, 0).Emit(e)
		same(t, v, r.got, err)
	}
	for _, v := range vectors(t, "indexes") {
		var rcpts []int
		for _, e := range v.Entries {
			rcpts = append(rcpts, int(*e.U32))
		}
		r := &recorder{}
		_, err := NewHook(r, Message, 0).Split(rcpts...)
		same(t, v, r.got, err)
	}
}

func TestVectorsOfAnswers(t *testing.T) {
	for _, v := range vectors(t, "dns") {
		var want Answer
		for _, e := range v.Entries {
			if e.Number == abi.DNSAuthenticated {
				want.Authenticated = true
				continue
			}
			var r Record
			for _, f := range e.Entries {
				switch f.Number {
				case abi.DNSTTL:
					r.TTL = time.Duration(*f.U32) * time.Second
				case abi.DNSData:
					r.Data = f.octets(t)
				case abi.DNSPreference:
					r.Preference = int(*f.U16)
				}
			}
			want.Records = append(want.Records, r)
		}
		got, err := NewHook(&recorder{give: v.octets}, Message, 0).Lookup(TypeMX, "example.test")
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v, want %+v", v.Name, got, err, want)
		}
		if _, err := answer(v.octets[:len(v.octets)-1]); err == nil {
			t.Errorf("%s: cut short, and read all the same", v.Name)
		}
	}
}

func TestVectorsOfSnapshots(t *testing.T) {
	for _, v := range vectors(t, "snapshot") {
		s, err := NewHook(&recorder{give: v.octets}, Message, 0).Snapshot()
		if err != nil {
			t.Fatalf("%s: %v", v.Name, err)
		}
		rcpts, headers, symbols := 0, 0, 0
		for _, e := range v.Entries {
			switch e.Number {
			case abi.SnapshotRecipient:
				sameRecipient(t, s.Recipients[rcpts], e)
				rcpts++
			case abi.SnapshotHeader:
				if s.Header[headers] != e.octets(t) {
					t.Errorf("header %q", s.Header[headers])
				}
				headers++
			case abi.SnapshotSymbol:
				if s.Symbols[symbols] != (Symbol{*e.Text, int(*e.I32)}) {
					t.Errorf("symbol %+v", s.Symbols[symbols])
				}
				symbols++
			default:
				sameField(t, e, s.Get, s.GetInt)
			}
		}
		if rcpts != len(s.Recipients) || headers != len(s.Header) || symbols != len(s.Symbols) {
			t.Errorf("%s: %+v", v.Name, s)
		}
		if _, ok := s.Get(abi.FieldRDNS); ok {
			t.Errorf("%s: an absent field is there", v.Name)
		}
	}
}

func sameRecipient(t *testing.T, r SnapshotRecipient, e vectorEntry) {
	t.Helper()
	for _, f := range e.Entries {
		if f.Number != abi.SnapshotIndex {
			sameField(t, f, r.Get, r.GetInt)
		} else if r.Index != int(*f.U32) {
			t.Errorf("index %d, want %d", r.Index, *f.U32)
		}
	}
}

func sameField(t *testing.T, e vectorEntry, get func(int) (string, bool), getInt func(int) (int64, bool)) {
	t.Helper()
	if e.I64 != nil {
		if n, ok := getInt(e.Number); !ok || n != *e.I64 {
			t.Errorf("%s is %d, %v, want %d", e.Tag, n, ok, *e.I64)
		}
		return
	}
	if v, ok := get(e.Number); !ok || v != e.octets(t) {
		t.Errorf("%s is %q, %v", e.Tag, v, ok)
	}
}

// FuzzTLV: whatever the host gives, a decoder ends and takes nothing that is not
// there.
func FuzzTLV(f *testing.F) {
	f.Add([]byte{1, 0, 2, 0, 0, 0, 'a', 'b'})
	f.Add([]byte{1, 0, 255, 255, 255, 255})
	f.Fuzz(func(t *testing.T, b []byte) {
		n := 0
		err := eachTLV(b, func(_ int, v []byte) error { n += tlvHead + len(v); return nil })
		if n > len(b) || err == nil && n != len(b) {
			t.Errorf("%d of %d octets, %v", n, len(b), err)
		}
		_, _ = answer(b)
		_, _ = parseSnapshot(b)
	})
}
