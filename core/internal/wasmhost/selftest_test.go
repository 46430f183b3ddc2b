// SPDX-License-Identifier: Apache-2.0

package wasmhost

import (
	"context"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/postroad-mail/postroad/core/internal/fixture"
	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/sdk/abi"
)

// loadTested loads a module with a section of fixtures.
func loadTested(t *testing.T, h *Host, wasm []byte, fixtures string) (*Module, error) {
	t.Helper()
	m, err := h.Load(context.Background(), "x", withSection(wasm, fixture.Section, fixtures))
	if err == nil {
		t.Cleanup(func() { _ = m.Close() })
	}
	return m, err
}

// TestSelfTest: a module that does what it says serves, and one that does not is
// refused with the difference. Nobody is told of the calls.
func TestSelfTest(t *testing.T) {
	a := &account{}
	h := newHost(t, Options{Observer: a})
	good := `[{"about":"counts its hooks","runs":[
		{"expect":{"calls":["mail continue","rcpt 0 tempfail"]}},
		{"expect":{"calls":["mail tempfail"]}}]},
		{"about":"starts anew","runs":[{"expect":{"calls":["mail continue","rcpt 0 tempfail","reset continue"]}}]}]`
	m, err := loadTested(t, h, readWasm(t, "guests/remember.wasm"), good)
	if err != nil {
		t.Fatal(err)
	}
	manifest := m.Manifest()
	if got := manifest.SelfTests(); !reflect.DeepEqual(got, []string{"counts its hooks", "starts anew"}) {
		t.Errorf("self-tests %q", got)
	}
	_, err = m.NewStage(context.Background(), StageOptions{Name: "s", Phases: mail.Phases(mail.PhaseMail), Limits: Limits{Isolation: IsolationCall}})
	if want := `its self-test "counts its hooks", message 1: expected calls ["mail continue","rcpt 0 tempfail"], got ["mail continue","rcpt 0 tempfail","reset continue"]; this build of it does not do what its author says: if that is you, correct it; else use another build`; err == nil || err.Error() != want {
		t.Fatalf("error %v\nwant %s", err, want)
	}
	holds := strings.Replace(strings.Replace(good, `tempfail"]}},`, `tempfail","reset continue"]}},`, 1), `["mail tempfail"]`, `["mail tempfail","reset continue"]`, 1)
	if m, err = loadTested(t, h, readWasm(t, "guests/remember.wasm"), holds); err != nil {
		t.Fatal(err)
	}
	s := newTestStage(t, m, StageOptions{Phases: mail.Phases(mail.PhaseMail), Limits: Limits{Isolation: IsolationFresh}, Name: "s"})
	if s.Phases() != mail.Phases(mail.PhaseMail) || len(a.calls) != 0 {
		t.Errorf("phases %v, %d calls were told", s.Phases(), len(a.calls))
	}
	if h.budget.used != 0 {
		t.Errorf("%d octets are in use by self-tests", h.budget.used)
	}
}

// TestSelfTestOfAPlugin: configuration, bucket and clock are the fixture's,
// whatever the operator has.
func TestSelfTestOfAPlugin(t *testing.T) {
	wasm, err := os.ReadFile("../../../plugins/ratelimit/ratelimit.wasm")
	if err != nil {
		t.Fatal(err)
	}
	tested := `[{"about":"one message a minute","config":{"limit":[{"key":"client","bucket":"slow"}]},
		"buckets":{"slow":{"rate":1,"per":"1m"}},"runs":[
		{"expect":{"calls":["mail continue"]}},
		{"advance":"15s","expect":{"calls":["mail tempfail: 451 4.7.1 rate limit reached, try again in 45 s"]}},
		{"advance":"ADVANCE","expect":{"calls":["mail continue"]}}]}]`
	h := newHost(t, Options{})
	m, err := loadTested(t, h, wasm, strings.Replace(tested, "ADVANCE", "45s", 1))
	if err != nil {
		t.Fatal(err)
	}
	newTestStage(t, m, StageOptions{Grant: Grant{Read: []string{"envelope"}}})
	m, err = loadTested(t, h, wasm, strings.Replace(tested, "ADVANCE", "44s", 1))
	if err != nil {
		t.Fatal(err)
	}
	_, err = m.NewStage(context.Background(), StageOptions{Name: "s", Grant: Grant{Read: []string{"envelope"}}})
	if want := `its self-test "one message a minute", message 3: expected calls ["mail continue"], got ["mail tempfail: 451 4.7.1 rate limit reached, try again in 1 s"]; this build of it does not do what its author says: if that is you, correct it; else use another build`; err == nil || err.Error() != want {
		t.Errorf("error %v\nwant %s", err, want)
	}
}

// TestSelfTestThatFails in other ways: the guest traps, does not start, burns its
// fuel; the operator's logger hears nothing of it.
func TestSelfTestThatFails(t *testing.T) {
	logger, sink := newLog(hclog.Trace)
	h := newHost(t, Options{Logger: logger})
	for name, want := range map[string]string{
		"hostile/trap.wasm": `its self-test "x", message 1: the plugin failed: trap`,
		"hostile/loop.wasm": `its self-test "x", message 1: the plugin failed: fuel`,
	} {
		m, err := loadTested(t, h, readWasm(t, name), `[{"about":"x","runs":[{"expect":{"calls":[]}}]}]`)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.NewStage(context.Background(), StageOptions{Name: "s", Limits: hostileLimits(CauseFuel)}); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", name, err, want)
		}
	}
	if s := sink.String(); strings.Contains(s, "plugin") {
		t.Errorf("log has %s", s)
	}
}

func TestFixturesThatAModuleCannotBring(t *testing.T) {
	h := newHost(t, Options{})
	for fixtures, want := range map[string]string{
		`{}`:                               "its section postroad.fixtures cannot be used: fixtures are not a list",
		`[{"about":"x","config":["a=1"]}]`: "fixture 0: config and blocks are in HCL, which is not read at load",
	} {
		if _, err := loadTested(t, h, readWasm(t, "guests/empty.wasm"), fixtures); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", fixtures, err, want)
		}
	}
	twice := withSection(withSection(readWasm(t, "guests/empty.wasm"), fixture.Section, "[]"), fixture.Section, "[]")
	if _, err := h.Load(context.Background(), "x", twice); err == nil || !strings.Contains(err.Error(), "it has two postroad.fixtures sections; keep one") {
		t.Errorf("two sections: %v", err)
	}
}

// TestServicesOfAFixture know what it says, and nothing else.
func TestServicesOfAFixture(t *testing.T) {
	f := &fixture.Fixture{
		DNS:     map[string]fixture.Records{"example.test": {"MX": {"10 mx.example.test"}}},
		HTTP:    map[string]fixture.Response{"GET https://a.test/x": {Status: 418, Header: map[string][]string{"x-a": {"b"}}, Body: "tea"}},
		Secrets: map[string]string{"key": "s"}, Stores: map[string]map[string]string{"db": {"k": "v"}},
		Buckets: map[string]fixture.Bucket{"b": {Rate: 1, Per: "1m"}},
	}
	o := StageOptions{Stores: map[string]Store{}, Buckets: map[string]Bucket{}}
	o.Serve(f, fixture.NewClock())
	ctx := context.Background()
	if a, err := o.DNS.Lookup(ctx, "example.test", 15); err != nil || len(a.Records) != 1 || string(a.Records[0].Data) != "mx.example.test" || a.Records[0].Preference != 10 {
		t.Errorf("MX %+v, %v", a, err)
	}
	if _, err := o.DNS.Lookup(ctx, "example.test", 1); !errors.Is(err, ErrNoRecords) {
		t.Errorf("A gave %v", err)
	}
	if r, err := o.HTTP.Do(ctx, HTTPRequest{URL: "https://a.test/x", MaxBody: 3}); err != nil || r.Status != 418 || string(r.Body) != "tea" || r.Header["X-A"][0] != "b" {
		t.Errorf("answer %+v, %v", r, err)
	}
	if _, err := o.HTTP.Do(ctx, HTTPRequest{URL: "https://a.test/x", MaxBody: 2}); !errors.Is(err, abi.ErrLimit) {
		t.Errorf("long answer: %v", err)
	}
	if _, err := o.HTTP.Do(ctx, HTTPRequest{Method: "POST", URL: "https://a.test/x"}); !errors.Is(err, abi.ErrIO) {
		t.Errorf("unknown request: %v", err)
	}
	if v, ok, _ := o.Stores["db"].Get([]byte("k")); !ok || string(v) != "v" || o.Secrets["key"] != "s" {
		t.Error("store or secret is not there")
	}
	if ok, _ := o.Buckets["b"].Take("x", 2); ok {
		t.Error("the bucket is endless")
	}
}
