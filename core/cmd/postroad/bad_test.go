// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/emersion/go-smtp"
	"github.com/jedisct1/go-minisign"

	"github.com/postroad-mail/postroad/core/internal/testkit"
	"github.com/postroad-mail/postroad/core/relay"
	"github.com/postroad-mail/postroad/plugins"
)

// TestBadInput runs testdata/bad: each way in which a module, a manifest, a grant,
// a config block, a signature or what leads to them can be wrong, and the sentence
// that the operator reads. `postroad check` and a reload must say the same, and
// after each the relay must go on with what it had. Its commands:
//
//	module FILE              with the octets that its arguments say:
//	    from=NAME            a module of core/internal/wasmhost/testdata, or builtin:NAME
//	    hex, text            the lines below
//	    manifest, fixtures   the lines below as that custom section
//	    cut=N pad=N          N octets less, a custom section of N octets more
//	sign FILE key=NAME       signs it; of=OTHER: with the signature of that file
//	replace FILE OLD NEW     changes octets of it
//	bad                      a configuration with these lines in the block that each names
//	doubtful                what both take and warn of
//	refused                  the same, of what `check` finds good and a reload may not change
//
// In lines, KEY(NAME) is a public key.
func TestBadInput(t *testing.T) {
	datadriven.Walk(t, "testdata/bad", func(t *testing.T, path string) {
		b := newBench(t)
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			t.Helper()
			switch d.Cmd {
			case "module":
				return b.module(t, d)
			case "sign":
				return b.sign(t, d)
			case "replace":
				return b.replace(t, d)
			case "bad":
				return b.bad(t, d)
			case "doubtful":
				return b.doubtful(t, d)
			case "refused":
				return b.refused(t, d)
			}
			t.Fatalf("%s: no such command", d.Pos)
			return ""
		})
	})
}

// bench is a relay that runs on a good configuration, and the folder of its
// files.
type bench struct {
	dir    string
	r      *relay.Relay
	sink   *testkit.Sink
	client *smtp.Client // one session for all that follows
	sent   int
	log    record
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{dir: t.TempDir(), sink: testkit.NewSink(t, testkit.SinkOptions{})}
	b.write(t, good)
	r, end := runs(t, b.file("pipeline.hcl"), &b.log)
	t.Cleanup(end)
	b.r = r
	var err error
	if b.client, err = smtp.Dial(r.Addr("in").String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.client.Close() })
	return b
}

// record is what a relay logged.
type record struct {
	mu   sync.Mutex
	text strings.Builder
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(p)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

func (b *bench) file(name string) string { return filepath.Join(b.dir, name) }

// good is the configuration that must go on: it marks each message.
var good = map[string][]string{
	"plugin": {`source = "builtin:rewrite"`},
	"stage":  {"config {", "  add_header {", `    name  = "X-Live"`, `    value = "yes"`, "  }", "}"},
}

// write writes pipeline.hcl with lines in its blocks.
func (b *bench) write(t *testing.T, lines map[string][]string) {
	t.Helper()
	in := func(block, indent string) string {
		var text strings.Builder
		for _, line := range lines[block] {
			text.WriteString(indent + line + "\n")
		}
		return text.String()
	}
	for block, usual := range map[string]string{"server": "hostname = \"relay.test\"\ndata_dir = \"data\"", "admin": `address = ""`} {
		if lines[block] == nil {
			lines[block] = strings.Split(usual, "\n")
		}
	}
	text := "server {\n" + in("server", "  ") + "}\nadmin {\n" + in("admin", "  ") + "}\n" +
		"listener \"smtp\" \"in\" {\n  address    = \"127.0.0.1:0\"\n  pipeline   = pipeline.in\n  relay_from = [\"127.0.0.0/8\"]\n}\n" +
		"plugin \"x\" {\n" + in("plugin", "  ") + "}\n" +
		"pipeline \"in\" {\n" + in("pipeline", "  ") + "  stage \"s\" {\n    plugin = plugin.x\n" + in("stage", "    ") + "  }\n}\n" + in("top", "") +
		"routing {\n" + in("routing", "  ") + "  rule { route = route.next }\n}\n" +
		"route \"next\" {\n" + in("route", "  ") + "  smarthost { hosts = [\"" + b.sink.Addr().String() + "\"] }\n}\n"
	if err := os.WriteFile(b.file("pipeline.hcl"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// lines reads "block: line" and the lines that go on with one.
func (b *bench) lines(t *testing.T, input string) map[string][]string {
	t.Helper()
	all, block := map[string][]string{}, ""
	for line := range strings.Lines(input) {
		line = strings.TrimRight(line, "\n")
		if name, rest, ok := strings.Cut(line, ": "); ok && !strings.ContainsAny(name, " \"=") {
			block, line = name, rest
		}
		all[block] = append(all[block], b.expand(t, line))
	}
	return all
}

// expand puts keys in.
func (b *bench) expand(t *testing.T, line string) string {
	t.Helper()
	if before, rest, ok := strings.Cut(line, "KEY("); ok {
		name, after, _ := strings.Cut(rest, ")")
		k := keyOf(name)
		p := k.PublicKey()
		line = before + base64.StdEncoding.EncodeToString(slices.Concat(p.SignatureAlgorithm[:], p.KeyId[:], p.PublicKey[:])) + after
	}
	return line
}

// bad checks the configuration and reloads it: both must fail alike, and the
// relay must go on. It returns the fault.
func (b *bench) bad(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	b.write(t, b.lines(t, d.Input))
	_, errs, code := call("", "-c", b.file("pipeline.hcl"), "check")
	if code != exitConfig {
		t.Errorf("%s: the check ends with %d", d.Pos, code)
	}
	text := b.reload(t, d)
	if got := b.plain(strings.TrimPrefix(errs, "postroad: ")); got != text {
		t.Errorf("%s: the check says\n%s\nand the reload\n%s", d.Pos, got, text)
	}
	return text
}

// doubtful checks the configuration and has the relay take it. It returns the
// warnings, of which the log must have as many.
func (b *bench) doubtful(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	b.write(t, b.lines(t, d.Input))
	_, errs, code := call("", "-c", b.file("pipeline.hcl"), "check")
	if code != 0 {
		t.Errorf("%s: the check ends with %d", d.Pos, code)
	}
	const said = "configuration is suspicious"
	before := strings.Count(b.log.String(), said)
	if err := b.r.Reload(context.Background()); err != nil {
		t.Errorf("%s: the relay does not take it: %v", d.Pos, err)
	}
	if warned, logged := strings.Count(errs, ": warning: "), strings.Count(b.log.String(), said)-before; warned != logged {
		t.Errorf("%s: the check has %d warnings and the log %d", d.Pos, warned, logged)
	}
	b.restore(t)
	return b.plain(errs)
}

// refused is bad for what only the running relay can tell.
func (b *bench) refused(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	b.write(t, b.lines(t, d.Input))
	if _, errs, code := call("", "-c", b.file("pipeline.hcl"), "check"); code != 0 {
		t.Errorf("%s: the check ends with %d, %s", d.Pos, code, errs)
	}
	return b.reload(t, d)
}

// reload returns why the relay does not take the configuration, and sends a
// message through what it has.
func (b *bench) reload(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	err := b.r.Reload(context.Background())
	if err == nil {
		t.Errorf("%s: the relay takes it", d.Pos)
		b.restore(t)
		return "taken\n"
	}
	b.goesOn(t, d)
	return b.plain(err.Error())
}

// restore makes the relay good again.
func (b *bench) restore(t *testing.T) {
	t.Helper()
	b.write(t, good)
	if err := b.r.Reload(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// plain leaves out what is of this run.
func (b *bench) plain(text string) string {
	return strings.ReplaceAll(strings.TrimRight(text, "\n")+"\n", b.dir, "DIR")
}

func (b *bench) goesOn(t *testing.T, d *datadriven.TestData) {
	t.Helper()
	subject := fmt.Sprint("Subject: ", b.sent)
	if err := b.client.SendMail("a@here.test", []string{"b@far.test"}, strings.NewReader(subject+"\r\n\r\nx\r\n")); err != nil {
		t.Fatalf("%s: behind it a message got %v", d.Pos, err)
	}
	b.sent++
	got, err := b.sink.Wait(t.Context(), b.sent)
	if err != nil || !bytes.Contains(got[b.sent-1].Content, []byte(subject)) || !bytes.Contains(got[b.sent-1].Content, []byte("X-Live: yes")) {
		t.Fatalf("%s: behind it a message arrived as %q, %v", d.Pos, got[len(got)-1].Content, err)
	}
}

// module writes a module.
func (b *bench) module(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	var wasm []byte
	for _, a := range d.CmdArgs[1:] {
		switch value := strings.Join(a.Vals, ""); a.Key {
		case "from":
			wasm = moduleOf(t, value)
		case "text":
			wasm = []byte(d.Input)
		case "hex":
			wasm = unhex(t, d.Input)
		case "manifest", "fixtures":
			wasm = withSection(wasm, "postroad."+a.Key, d.Input)
		case "cut":
			wasm = wasm[:len(wasm)-atoi(t, value)]
		case "pad":
			wasm = withSection(wasm, "pad", strings.Repeat("x", atoi(t, value)))
		default:
			t.Fatalf("%s: no argument %s", d.Pos, a.Key)
		}
	}
	b.save(t, d.CmdArgs[0].Key, wasm)
	return ""
}

func moduleOf(t *testing.T, name string) []byte {
	t.Helper()
	if name, ok := strings.CutPrefix(name, "builtin:"); ok {
		wasm, _ := plugins.Builtin(name)
		return wasm
	}
	wasm, err := os.ReadFile("../../internal/wasmhost/testdata/" + name + ".wasm")
	if err != nil {
		t.Fatal(err)
	}
	return wasm
}

// withSection puts a custom section behind a module.
func withSection(wasm []byte, name, content string) []byte {
	body := append(leb(len(name)), name+content...)
	return slices.Concat(wasm, []byte{0}, leb(len(body)), body)
}

func leb(n int) (b []byte) {
	for ; n >= 0x80; n >>= 7 {
		b = append(b, byte(n)|0x80)
	}
	return append(b, byte(n))
}

func unhex(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func atoi(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func (b *bench) save(t *testing.T, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(b.file(name), content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func (b *bench) read(t *testing.T, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(b.file(name))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// keyOf is the key pair of a name.
func keyOf(name string) minisign.PrivateKey {
	k := minisign.PrivateKey{SignatureAlgorithm: [2]byte{'E', 'd'}}
	copy(k.KeyId[:], name)
	copy(k.SecretKey[:], ed25519.NewKeyFromSeed(bytes.Repeat([]byte(name[:1]), ed25519.SeedSize)))
	return k
}

func (b *bench) sign(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	var key, of string
	d.ScanArgs(t, "key", &key)
	of = d.CmdArgs[0].Key
	d.MaybeScanArgs(t, "of", &of)
	k := keyOf(key)
	sig, err := k.Sign(b.read(t, of), minisign.SignOptions{TrustedComment: "version-1", Hashed: true})
	if err != nil {
		t.Fatal(err)
	}
	b.save(t, d.CmdArgs[0].Key+".minisig", sig.Encode())
	return ""
}

func (b *bench) replace(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	name, old, is := d.CmdArgs[0].Key, d.CmdArgs[1].Key, d.CmdArgs[2].Key
	content := b.read(t, name)
	if !bytes.Contains(content, []byte(old)) {
		t.Fatalf("%s: no %q in %s", d.Pos, old, name)
	}
	b.save(t, name, bytes.Replace(content, []byte(old), []byte(is), 1))
	return ""
}
