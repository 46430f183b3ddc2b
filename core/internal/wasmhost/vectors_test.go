// SPDX-License-Identifier: Apache-2.0

package wasmhost

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/postroad-mail/postroad/core/internal/pipeline"
	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/sdk/abi"
)

// vector is one of the golden vectors that host and SDKs are held to.
type vector struct {
	Name, Of, Error, Hex string
	Entries              []vectorEntry
	JSON                 map[string]any
	octets               []byte
}

type vectorEntry struct {
	Tag     string
	Number  int
	Text    *string
	Hex     *string
	U16     *uint16
	U32     *uint32
	U64     *uint64
	Entries []vectorEntry
}

func (e *vectorEntry) text() string {
	if e.Hex == nil {
		return *e.Text
	}
	b, _ := hex.DecodeString(*e.Hex)
	return string(b)
}

func vectors(t *testing.T, of string) []vector {
	t.Helper()
	raw, err := os.ReadFile("../../../sdk/abi/vectors.json")
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

func TestVectorsOfRoutes(t *testing.T) {
	for _, v := range vectors(t, "route") {
		h := newHook(mail.PhaseMessage, 0, testEnvelope())
		sc := newScript(t)
		set := sc.call("route_set", -1, string(v.octets))
		s := scriptStage(t, sc.end(allPhases, 0), StageOptions{Grant: everything()})
		run(t, s, h)
		want, route, hop := int64(0), "", ""
		for _, e := range v.Entries {
			switch e.Number {
			case abi.RouteName:
				route = e.text()
			case abi.RouteNextHop:
				hop = e.text()
			}
		}
		if route+hop == "" {
			want = int64(abi.ErrBadArgument)
		} else if hop != "" && !strings.HasSuffix(hop, ".example.org:25") {
			want, hop = int64(abi.ErrDenied), ""
		}
		rc := h.Envelope().Recipients[0]
		if got := result(t, s, set); got != want || rc.Route != route || rc.NextHop != hop {
			t.Errorf("%s: result %d, want %d; route %q, next hop %q", v.Name, got, want, rc.Route, rc.NextHop)
		}
	}
}

// told answers every question with what a vector says.
type told struct {
	answer   Answer
	status   int
	size     int
	requests []HTTPRequest
}

func (w *told) Lookup(context.Context, string, uint16) (Answer, error) { return w.answer, nil }

func (w *told) Do(ctx context.Context, r HTTPRequest) (*HTTPResponse, error) {
	w.requests = append(w.requests, r)
	return &HTTPResponse{Status: w.status, Body: make([]byte, w.size)}, ctx.Err()
}

func (w *told) Check(HTTPRequest) error { return nil }

func (w *told) Queue(r HTTPRequest) { w.requests = append(w.requests, r) }

// cut takes a TLV apart into its entries, which it sorts: their order means
// nothing to those who read them.
func cut(t *testing.T, b []byte) []string {
	t.Helper()
	var out []string
	if e := entries(b, func(tag int, value []byte) abi.Errno {
		out = append(out, strconv.Itoa(tag)+" "+hex.EncodeToString(value))
		return 0
	}); e != 0 {
		t.Fatalf("%x: %v", b, e)
	}
	slices.Sort(out)
	return out
}

func TestVectorsOfAnswers(t *testing.T) {
	for _, v := range vectors(t, "dns") {
		w, rrtype := &told{}, 16
		for _, e := range v.Entries {
			var r Record
			for _, f := range e.Entries {
				switch f.Number {
				case abi.DNSTTL:
					r.TTL = time.Duration(*f.U32) * time.Second
				case abi.DNSData:
					r.Data = []byte(f.text())
				case abi.DNSPreference:
					r.Preference, rrtype = *f.U16, 15
				}
			}
			if e.Number == abi.DNSAuthenticated {
				w.answer.Authenticated = true
			} else {
				w.answer.Records = append(w.answer.Records, r)
			}
		}
		sc := newScript(t)
		ask := sc.call("dns", rrtype, "example.test", buf(0))
		s := scriptStage(t, sc.end(allPhases, 0), StageOptions{Grant: everything(), DNS: w})
		run(t, s, newHook(mail.PhaseMail, 0, testEnvelope()))
		got := bufferText(t, s, 0, result(t, s, ask))
		if !slices.Equal(cut(t, []byte(got)), cut(t, v.octets)) {
			t.Errorf("%s: %x, want %s", v.Name, got, v.Hex)
		}
	}
}

func TestVectorsOfRequests(t *testing.T) {
	for _, v := range vectors(t, "http") {
		w := &told{}
		sc := newScript(t)
		ask := sc.call("http", string(v.octets), buf(0))
		s := scriptStage(t, sc.end(allPhases, 0), StageOptions{Grant: everything(), HTTP: w})
		h := newHook(mail.PhaseMail, 0, testEnvelope())
		run(t, s, h)
		atCommit := slices.ContainsFunc(v.Entries, func(e vectorEntry) bool { return e.Number == abi.HTTPAtCommit })
		if got := result(t, s, ask); got != 0 || len(w.requests) != 0 == atCommit {
			t.Fatalf("%s: result %d, %d requests before the commit", v.Name, got, len(w.requests))
		}
		if err := h.Commit(); err != nil {
			t.Fatal(err)
		}
		var want HTTPRequest
		for _, e := range v.Entries {
			switch e.Number {
			case abi.HTTPMethod:
				want.Method = e.text()
			case abi.HTTPURL:
				want.URL = e.text()
			case abi.HTTPHeader:
				want.Header = append(want.Header, e.text())
			case abi.HTTPBody:
				want.Body = []byte(e.text())
			}
		}
		got := w.requests[0]
		if got.Method != want.Method || got.URL != want.URL || !slices.Equal(got.Header, want.Header) || !bytes.Equal(got.Body, want.Body) {
			t.Errorf("%s: %+v, want %+v", v.Name, got, want)
		}
	}
}

func TestVectorsOfHTTPAnswers(t *testing.T) {
	for _, v := range vectors(t, "http_answer") {
		sc := newScript(t)
		ask := sc.call("http", "\x02\x00\x0a\x00\x00\x00https://x/", buf(0))
		w := &told{status: int(*v.Entries[0].U32), size: int(*v.Entries[1].U64)}
		s := scriptStage(t, sc.end(allPhases, 0), StageOptions{Grant: everything(), HTTP: w})
		run(t, s, newHook(mail.PhaseMail, 0, testEnvelope()))
		if got := bufferText(t, s, 0, int64(len(v.octets))); result(t, s, ask) != 0 || got != string(v.octets) {
			t.Errorf("%s: %x, want %s", v.Name, got, v.Hex)
		}
	}
}

func TestVectorsOfNewMessages(t *testing.T) {
	for _, v := range vectors(t, "emit") {
		sc := newScript(t)
		emit := sc.call("emit", string(v.octets))
		s := scriptStage(t, sc.end(allPhases, 0), StageOptions{Grant: everything()})
		h := newHook(mail.PhaseMessage, 0, testEnvelope())
		run(t, s, h)
		if got := result(t, s, emit); got != 0 || len(h.Emitted()) != 1 {
			t.Fatalf("%s: result %d", v.Name, got)
		}
		var want pipeline.Emission
		for _, e := range v.Entries {
			switch e.Number {
			case abi.EmitSender:
				want.Sender = mail.Address(e.text())
			case abi.EmitRecipient:
				want.Recipients = append(want.Recipients, mail.Address(e.text()))
			case abi.EmitHeader:
				want.Header = []byte(e.text())
			case abi.EmitBody:
				want.Body = []byte(e.text())
			case abi.EmitBodyOfMessage:
				want.OfMessage = true
			}
		}
		got := h.Emitted()[0]
		got.Stage, got.Content = "", nil
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, want %+v", v.Name, got, want)
		}
	}
}

// snapshotHook is the hook that the snapshots among the vectors are of.
func snapshotHook(name string) *pipeline.Hook {
	client := mail.Client{Addr: netip.MustParseAddrPort("192.0.2.1:4025"), Listener: "inbound", SessionID: "01SESSION"}
	if name == "connection" {
		return pipeline.NewHook(testPipeline(), "s", mail.PhaseConnect, 0, &mail.Envelope{Client: client}, mail.Header{}, nil)
	}
	cert := make([]byte, 32)
	for n := range cert {
		cert[n] = byte(n)
	}
	client.Addr, client.Helo, client.Protocol = netip.MustParseAddrPort("[2001:db8::1]:4025"), "client.example.org", "ESMTPS"
	client.TLSVersion, client.PeerCert = "TLS1.3", string(cert)
	e := &mail.Envelope{
		ID: "01MESSAGE", Client: client, OriginalSender: "ann@example.org", Params: "SIZE=100", DeclaredSize: 100, EightBit: true, Tenant: "shop-17",
		Scores: []mail.Score{{Stage: "s", Symbol: "KNOWN", Milli: -1500}},
		Recipients: []mail.Recipient{
			{Address: "bob@example.test", Original: "Bob@example.test", Params: "NOTIFY=NEVER"}, {Address: "gone@example.test", Removed: true}, {Address: "eve@example.test"},
		},
	}
	header := mail.ParseHeader([]byte("Subject: =?utf-8?q?gr=C3=BC=C3=9Fe?=\r\nX-A:\xff\r\n\r\n"))
	return pipeline.NewHook(testPipeline(), "s", mail.PhaseMessage, 0, e, header, mail.BytesBody("body\r\n"))
}

func TestVectorsOfSnapshots(t *testing.T) {
	for _, v := range vectors(t, "snapshot") {
		sc := newScript(t)
		tlv, text := sc.call("snapshot", abi.SnapshotTLV, buf(0)), sc.call("snapshot", abi.SnapshotJSON, buf(1))
		sc2 := sc.end(allPhases|mail.Phases(mail.PhaseConnect), 0)
		s := newTestStage(t, load(t, newHost(t, Options{Version: "test"}), "script.wasm"), StageOptions{Grant: everything(), Config: sc2})
		run(t, s, snapshotHook(v.Name))
		if got := bufferText(t, s, 0, result(t, s, tlv)); !slices.Equal(cut(t, []byte(got)), cut(t, v.octets)) {
			t.Errorf("%s:\n got %q\nwant %q", v.Name, cut(t, []byte(got)), cut(t, v.octets))
		}
		sameJSON(t, v, bufferText(t, s, 1, result(t, s, text)), string(sc2))
	}
}

// sameJSON compares a snapshot as JSON; the script's own configuration, which is
// no JSON, is in it.
func sameJSON(t *testing.T, v vector, text, config string) {
	t.Helper()
	var got map[string]any
	if err := json.Unmarshal([]byte(strings.Replace(text, config, "{}", 1)), &got); err != nil {
		t.Fatalf("%s: %v in %q", v.Name, err, text)
	}
	for _, member := range []string{"phase", "arg", "config"} {
		if _, ok := got[member]; !ok {
			t.Errorf("%s: member %s is missing", v.Name, member)
		}
		delete(got, member)
	}
	if !reflect.DeepEqual(got, v.JSON) {
		t.Errorf("%s:\n got %v\nwant %v", v.Name, got, v.JSON)
	}
}
