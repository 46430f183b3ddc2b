// SPDX-License-Identifier: Apache-2.0

package wasmhost

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/postroad-mail/postroad/core/internal/fixture"
	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/sdk/abi"
)

// header returns the value of a ";; key: value" line at the top of a .wat file.
func header(t testing.TB, wat, key string) string {
	t.Helper()
	b, err := os.ReadFile(wat)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(b), "\n") {
		if v, ok := strings.CutPrefix(line, ";; "+key+": "); ok {
			return v
		}
	}
	t.Fatalf("%s has no line %q", wat, key)
	return ""
}

// guests returns the names of the guests in a folder, without their endings.
func guests(t testing.TB, dir string) []string {
	t.Helper()
	wats, err := filepath.Glob(filepath.Join("testdata", dir, "*.wat"))
	if err != nil || len(wats) == 0 {
		t.Fatalf("no guests in %s: %v", dir, err)
	}
	for n := range wats {
		wats[n] = strings.TrimSuffix(filepath.Base(wats[n]), ".wat")
	}
	return wats
}

func TestRefusedModules(t *testing.T) {
	h := newHost(t, Options{})
	for _, name := range guests(t, "refused") {
		t.Run(name, func(t *testing.T) {
			want := header(t, filepath.Join("testdata", "refused", name+".wat"), "error")
			_, err := h.Load(context.Background(), "greylist", readWasm(t, "refused/"+name+".wasm"))
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error %v, want %q", err, want)
			}
		})
	}
}

func TestRefusedFiles(t *testing.T) {
	empty := readWasm(t, "guests/empty.wasm")
	section := func(id byte, body ...byte) []byte {
		return append(append([]byte{}, empty...), append([]byte{id, byte(len(body))}, body...)...)
	}
	cases := []struct {
		name string
		wasm []byte
		want string
	}{
		{"nothing", nil, "not a WebAssembly module"},
		{"text", []byte("(module)"), "not a WebAssembly module"},
		{"component", []byte("\x00asm\x0d\x00\x01\x00"), "a WebAssembly component"},
		{"version", []byte("\x00asm\x02\x00\x00\x00"), "unknown binary version"},
		{"cut", empty[:len(empty)-3], "a damaged WebAssembly module"},
		{"unknown section", section(60, 0), "cannot be run safely"},
		{"too large", make([]byte, 1<<16), "more than the 65535 permitted"},
		{"manifest", withManifest(empty, `{"abi":`), "manifest is not valid JSON"},
		{"abi", withManifest(empty, `{"abi":"postroad_v2"}`), `its manifest says abi "postroad_v2"`},
		{"phase", withManifest(empty, `{"abi":"postroad_v1","phases":["tock"]}`), `names phase "tock", which this host does not call; it calls connect, tls, helo, auth, mail, rcpt,`},
		{"power", withManifest(empty, `{"abi":"postroad_v1","wants":{"files":["*"]}}`), "wants something that this host does not offer"},
		{"host", withManifest(empty, `{"abi":"postroad_v1","wants":{"http":["ftp://a"]}}`), `http = ["ftp://a"] is not a host; write "api.example.org"`},
		{"tick", withManifest(empty, `{"abi":"postroad_v1","wants":{"tick":"often"}}`), `tick is an interval such as "1m", or true for any`},
		{"quick tick", withManifest(empty, `{"abi":"postroad_v1","wants":{"tick":"1ms"}}`), `tick = "1ms" is out of range; give "1s" or more`},
		{"word", withManifest(empty, `{"abi":"postroad_v1","wants":{"read":["mail"]}}`), `read = ["mail"] is not a known grant; known are auth, body, envelope, headers`},
		{"two manifests", withManifest(withManifest(empty, "{}"), "{}"), "two postroad.manifest sections"},
	}
	h := newHost(t, Options{MaxModule: 1<<16 - 1})
	for _, c := range cases {
		if _, err := h.Load(context.Background(), "p", c.wasm); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.want)
		}
	}
}

// withManifest appends a manifest section.
func withManifest(wasm []byte, manifest string) []byte {
	body := append(appendU32(nil, uint32(len(abi.ManifestSection))), abi.ManifestSection...)
	body = append(body, manifest...)
	out := append(append([]byte{}, wasm...), sectionCustom)
	return append(appendU32(out, uint32(len(body))), body...)
}

func TestManifest(t *testing.T) {
	wasm := withManifest(readWasm(t, "guests/empty.wasm"), `{"name":"x","version":"1.2.3","abi":"postroad_v1","phases":["mail","rcpt","message"],
		"wants":{"read":["envelope"],"kv":["*"]},"config":{"type":"object"},"later":1}`)
	m, err := newHost(t, Options{}).Load(context.Background(), "x", wasm)
	if err != nil {
		t.Fatal(err)
	}
	got := m.Manifest()
	if got.Name != "x" || got.Version != "1.2.3" || len(got.Phases) != 3 || got.Wants.Read[0] != "envelope" ||
		got.Wants.Stores[0] != "*" || string(got.Config) != `{"type":"object"}` {
		t.Errorf("manifest %+v", got)
	}
}

func TestWantedButNotGranted(t *testing.T) {
	wasm := withManifest(readWasm(t, "guests/empty.wasm"), `{"abi":"postroad_v1","phases":["mail","rcpt","message"],
		"wants":{"read":["envelope","body"],"write":["headers"],"kv":["greylist"],"routes":["*"]}}`)
	m, err := newHost(t, Options{}).Load(context.Background(), "x", wasm)
	if err != nil {
		t.Fatal(err)
	}
	_, err = m.NewStage(context.Background(), StageOptions{Name: "s", Grant: Grant{Read: []string{"body"}}})
	want := "grant {\n  read = [\"envelope\"]\n  write = [\"headers\"]\n  kv = [store.greylist]\n}"
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v, want %q", err, want)
	}
	s := newTestStage(t, m, StageOptions{Grant: everything()})
	if s.grant.NextHops != nil || s.powers&writeBody != 0 || s.powers&writeHeaders == 0 {
		t.Errorf("grant %+v is more or less than wanted and granted", s.grant)
	}
}

func TestPhasesMustBeDeclaredAndServed(t *testing.T) {
	h := newHost(t, Options{})
	m, err := h.Load(context.Background(), "x", withManifest(readWasm(t, "guests/empty.wasm"), `{"abi":"postroad_v1","phases":["mail"]}`))
	if err != nil {
		t.Fatal(err)
	}
	if _, err = m.NewStage(context.Background(), StageOptions{Name: "s"}); err == nil || !strings.Contains(err.Error(), "its manifest does not name") {
		t.Errorf("undeclared phases: %v", err)
	}
	_, err = load(t, h, "script.wasm").NewStage(context.Background(), StageOptions{Name: "s", Config: newScript(t).end(1<<40, 0)})
	if err == nil || !strings.Contains(err.Error(), "0x10000000000, which this host does not call") {
		t.Errorf("phase 40: %v", err)
	}
}

// TestEveryPhase: each phase of the ABI can be declared, asked for and called,
// and has the budget of its kind.
func TestEveryPhase(t *testing.T) {
	limits := Limits{Isolation: IsolationSession, Fuel: 1 << 20, MessageFuel: 1 << 21, Deadline: time.Minute, MessageDeadline: time.Hour}
	h := newHost(t, Options{})
	for _, p := range mail.AllPhases() {
		m, err := h.Load(context.Background(), "x", withManifest(readWasm(t, "script.wasm"), `{"abi":"postroad_v1","phases":["`+p.String()+`"]}`))
		if err != nil {
			t.Fatal(err)
		}
		s := newTestStage(t, m, StageOptions{Config: newScript(t).end(mail.Phases(p), 0), Limits: limits})
		if s.Phases() != mail.Phases(p) {
			t.Errorf("%v: phases %b", p, s.Phases())
		}
		if p != mail.PhaseReset { // which starts no instance
			run(t, s, newHook(p, 0, testEnvelope()))
		}
		session := p < mail.PhaseHeaders || p == mail.PhaseBody || p == mail.PhaseReset
		if fuel := s.limits.fuel(p, 1000); (fuel == 1<<20+1000*fuelPerOctet) != session {
			t.Errorf("%v: fuel %d", p, fuel)
		}
		if d := s.limits.deadline(p); (d == time.Minute) != session {
			t.Errorf("%v: deadline %v", p, d)
		}
	}
}

func TestFuelHasABound(t *testing.T) {
	l := Limits{Fuel: 1, MessageFuel: 2 * maxMessageFuel}
	if n := l.fuel(mail.PhaseBody, 1<<62); n != maxMessageFuel {
		t.Errorf("a huge chunk gets %d", n)
	}
	if n := l.fuel(mail.PhaseMessage, 1<<62); n != 2*maxMessageFuel {
		t.Errorf("a huge message gets %d", n)
	}
}

// TestBodyAndResetNeedAnInstanceThatLasts: plugin-abi §3.15.
func TestBodyAndResetNeedAnInstanceThatLasts(t *testing.T) {
	m := load(t, newHost(t, Options{}), "script.wasm")
	for _, isolation := range isolations {
		o := StageOptions{Name: "s", Config: newScript(t).end(lasting|mail.Phases(mail.PhaseMail), 0), Limits: Limits{Isolation: isolation}}
		s, err := m.NewStage(context.Background(), o)
		switch lasts := isolation == IsolationMessage || isolation == IsolationSession; {
		case lasts && err != nil:
			t.Errorf("%s: %v", isolation, err)
		case lasts:
			_ = s.Close()
		case err == nil || !strings.Contains(err.Error(), `it asks for body, reset`) || !strings.Contains(err.Error(), `set isolation = "message" or "session"`):
			t.Errorf("%s: error %v", isolation, err)
		}
		o.Phases = mail.Phases(mail.PhaseMail)
		newTestStage(t, m, o)
	}
}

func TestOperatorNarrowsPhases(t *testing.T) {
	m := load(t, newHost(t, Options{}), "guests/empty.wasm")
	s := newTestStage(t, m, StageOptions{Phases: mail.Phases(mail.PhaseRcpt), Limits: Limits{Isolation: IsolationFresh}})
	if s.Phases() != mail.Phases(mail.PhaseRcpt) {
		t.Errorf("phases %b", s.Phases())
	}
	run(t, s, newHook(mail.PhaseRcpt, 0, testEnvelope()))
}

func TestOptionalImportTrapsWhenCalled(t *testing.T) {
	h := newHost(t, Options{})
	plain := readWasm(t, "guests/optional.wasm")
	if _, err := h.Load(context.Background(), "x", plain); err == nil || !strings.Contains(err.Error(), "optional_imports") {
		t.Errorf("without a manifest: %v", err)
	}
	m, err := h.Load(context.Background(), "x", withManifest(plain, `{"abi":"postroad_v1","phases":["mail","rcpt"],"optional_imports":["dkim_sign"]}`))
	if err != nil {
		t.Fatal(err)
	}
	s := newTestStage(t, m, StageOptions{})
	run(t, s, newHook(mail.PhaseMail, 0, testEnvelope()))
	wantFault(t, s, newHook(mail.PhaseRcpt, 0, testEnvelope()), CauseTrap, "postroad_v1.dkim_sign")
}

func TestStartSectionRunsFirst(t *testing.T) {
	logger, sink := newLog(hclog.Info)
	s := newTestStage(t, load(t, newHost(t, Options{Logger: logger}), "guests/lifecycle.wasm"), StageOptions{})
	run(t, s, newHook(mail.PhaseMail, 0, testEnvelope()))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	var order string
	for _, line := range strings.Split(sink.String(), "\n") {
		if _, step, ok := strings.Cut(line, "step-"); ok {
			order += step[:1]
		}
	}
	if order != "siphc" {
		t.Errorf("order of steps is %q", order)
	}
}

func TestMemoryThatCannotHoldTheModule(t *testing.T) {
	m := load(t, newHost(t, Options{}), "script.wasm")
	_, err := m.NewStage(context.Background(), StageOptions{Name: "s", Limits: Limits{Memory: 128 << 10}})
	if err == nil || !strings.Contains(err.Error(), "needs 524288 octets of memory") {
		t.Errorf("error %v", err)
	}
}

func TestLimitsOutOfRange(t *testing.T) {
	m := load(t, newHost(t, Options{}), "guests/empty.wasm")
	for want, l := range map[string]Limits{
		"limit memory": {Memory: 1}, "limit fuel": {Fuel: -1}, "limit deadline": {Deadline: -1}, "limit depth": {Depth: 1 << 20},
		"limit instances": {Instances: -1}, "isolation": {Isolation: "none"},
	} {
		if _, err := m.NewStage(context.Background(), StageOptions{Name: "s", Limits: l}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v", l, err)
		}
	}
}

func TestSameOctetsAreCompiledOnce(t *testing.T) {
	h := newHost(t, Options{})
	a, b := load(t, h, "guests/empty.wasm"), load(t, h, "guests/empty.wasm")
	if a.code != b.code || len(h.codes) != 1 {
		t.Errorf("two modules of the same octets do not share code; %d are kept", len(h.codes))
	}
	s := newTestStage(t, a, StageOptions{})
	_, _ = a.Close(), b.Close()
	run(t, s, newHook(mail.PhaseMail, 0, testEnvelope()))
	_ = s.Close()
	if len(h.codes) != 0 {
		t.Error("code is kept although nothing uses it")
	}
}

func FuzzOutline(f *testing.F) {
	for _, name := range []string{"script.wasm", "guests/lifecycle.wasm", "guests/wasi.wasm"} {
		f.Add(readWasm(f, name))
	}
	f.Add(withManifest(readWasm(f, "guests/empty.wasm"), `{"abi":"postroad_v1"}`))
	f.Fuzz(func(t *testing.T, wasm []byte) {
		o, err := readOutline(wasm, abi.ManifestSection, fixture.Section)
		if (o == nil) == (err == nil) {
			t.Fatal("neither or both of result and error")
		}
		if err != nil {
			return
		}
		_, _ = fixture.ParseSection(o.custom[fixture.Section])
		_, _ = parseManifest(o.custom[abi.ManifestSection])
		if lifted, err := liftStart(wasm); err == nil {
			if _, err := readOutline(lifted, abi.ManifestSection); err != nil {
				t.Fatalf("lifting the start section broke the module: %v", err)
			}
		}
	})
}

func FuzzTLV(f *testing.F) {
	f.Add([]byte(tlvOf(1, "internet")))
	f.Add([]byte(tlvOf(9, "x") + tlvOf(2, "mx.example.org:25")))
	f.Fuzz(func(t *testing.T, b []byte) {
		if tag, v, ok := tlv(b); ok && tag != abi.RouteName && tag != abi.RouteNextHop || !ok && v != nil && len(v) > len(b) {
			t.Fatalf("tag %d, value %q", tag, v)
		}
	})
}

// TestWhatPrInitLoggedIsInTheError: the guest knows best what is wrong.
func TestWhatPrInitLoggedIsInTheError(t *testing.T) {
	_, err := load(t, newHost(t, Options{}), "hostile/error_logged.wasm").NewStage(context.Background(), StageOptions{Name: "s"})
	if want := "pr_init returned -3 (bad argument); it wrote: key `delay` is missing; give a duration"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v, want %q", err, want)
	}
}

// TestStrictImports: what is imported and not granted is an error, or told with
// the grant that is missing.
func TestStrictImports(t *testing.T) {
	m := load(t, newHost(t, Options{}), "guests/fields.wasm")
	const what = "hdr_find, hdr_get (read headers)"
	if _, err := m.NewStage(context.Background(), StageOptions{Name: "s", Strict: true}); err == nil || !strings.Contains(err.Error(), "it imports "+what+", and is not granted that") {
		t.Errorf("strict: %v", err)
	}
	if functions, grant := newTestStage(t, m, StageOptions{}).Denied(); functions != what || grant != "grant {\n  read = [\"headers\"]\n}" {
		t.Errorf("denied are %q; write %s", functions, grant)
	}
	if functions, _ := newTestStage(t, m, StageOptions{Strict: true, Grant: everything()}).Denied(); functions != "" {
		t.Errorf("denied with everything granted: %s", functions)
	}
}
