// SPDX-License-Identifier: Apache-2.0

// Package arch checks who may import whom. The rules are those of
// core/docs/rationale.md; they keep each room small enough to be read alone.
package arch

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/postroad-mail/postroad/"

// listed is what `go list` says of a package.
type listed struct {
	ImportPath                         string
	Imports, TestImports, XTestImports []string
	GoFiles                            []string
	Standard                           bool
}

func packages(t *testing.T) []listed {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports,TestImports,XTestImports,GoFiles", "./...")
	cmd.Dir = "../../.."
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	var ps []listed
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return ps
		} else if err != nil {
			t.Fatal(err)
		}
		ps = append(ps, p)
	}
}

// rooms that may import each of these libraries, by path below the module.
var libraries = map[string][]string{
	"github.com/tetratelabs/wazero":      {"core/internal/wasmhost"},
	"github.com/cockroachdb/pebble":      {"core/internal/store", "core/internal/queue"},
	"github.com/hashicorp/hcl":           {"core/internal/config"},
	"github.com/zclconf/go-cty":          {"core/internal/config"},
	"github.com/miekg/dns":               {"core/internal/resolver", "core/internal/testkit"},
	"github.com/prometheus/":             {"core/internal/admin"},
	"github.com/alecthomas/kong":         {"core/cmd/postroad"},
	"github.com/emersion/go-smtp":        {"core/internal/smtpin", "core/internal/recipients", "core/cmd/postroad"},
	"github.com/emersion/go-message":     {"core/internal/pipeline", "core/internal/wasmhost", "core/cmd/postroad"},
	"github.com/coreos/go-systemd":       {"core/cmd/postroad"},
	"github.com/coreos/go-oidc":          {"core/internal/auth/oidc"},
	"github.com/go-jose/go-jose":         {"core/internal/auth/oidc"},
	"github.com/go-ldap/":                {"core/internal/auth/ldap"},
	"github.com/go-asn1-ber/":            {"core/internal/auth/ldap"},
	"github.com/jcmturner/":              {"core/internal/auth/kerberos"},
	"oras.land/oras-go":                  {"core/internal/source"},
	"github.com/opencontainers/":         {"core/internal/source"},
	"github.com/caddyserver/":            {"core/internal/tlsconf"},
	"go.uber.org/zap":                    {"core/internal/tlsconf"},
	"github.com/xdg-go/":                 {"core/internal/auth", "core/cmd/postroad"},
	"github.com/jedisct1/go-minisign":    {"core/internal/source"},
	"github.com/postroad-mail/postroad/": nil, // see siblings
}

// siblings in core/internal that another one may import.
var siblings = map[string][]string{
	"fixture":  {"pipeline"},
	"config":   {"grant"},
	"outhttp":  {"grant"},
	"wasmhost": {"pipeline", "fixture", "grant"},
	"queue":    {"store", "fair"},
	"delivery": {"fair"},
	"testkit":  {"clock"},
	"admin":    {"httpd"},
	"control":  {"httpd"},
}

func TestImportRules(t *testing.T) {
	for _, p := range packages(t) {
		room := strings.TrimPrefix(p.ImportPath, module)
		for _, imp := range p.Imports {
			if why := forbidden(room, imp); why != "" {
				t.Errorf("%s imports %s: %s", room, strings.TrimPrefix(imp, module), why)
			}
		}
	}
}

func forbidden(room, imp string) string {
	for lib, rooms := range libraries {
		if rooms != nil && strings.HasPrefix(imp, lib) && !below(room, rooms) {
			return "only " + strings.Join(rooms, " and ") + " may"
		}
	}
	own, ok := strings.CutPrefix(imp, module)
	switch {
	case room == "core/mail" && strings.Contains(imp, "."):
		return "core/mail imports only the standard library"
	case !ok:
		return ""
	case own == "core/internal/testkit" && !strings.HasPrefix(room, "core/test") && room != "core/bench":
		return "testkit is for tests only"
	case outside(room) && strings.HasPrefix(own, "core/") && !below(own, []string{"core/relay", "core/mail", "core/plugintest"}):
		return "outside core only relay, mail and plugintest may be used"
	case strings.HasPrefix(room, "sdk/go") && !strings.HasPrefix(own, "sdk/"):
		return "the SDK imports only the standard library"
	}
	return sibling(room, own)
}

func outside(room string) bool { return below(room, []string{"examples", "plugins", "sdk"}) }

// sibling tells whether one room of core/internal imports another that it may
// not know.
func sibling(room, own string) string {
	from, ok1 := strings.CutPrefix(room, "core/internal/")
	to, ok2 := strings.CutPrefix(own, "core/internal/")
	if !ok1 || !ok2 {
		return ""
	}
	from, to = first(from), first(to)
	if from == to {
		return ""
	}
	for _, s := range siblings[from] {
		if s == to {
			return ""
		}
	}
	return "rooms do not import each other; they meet in core/relay"
}

func first(path string) string {
	head, _, _ := strings.Cut(path, "/")
	return head
}

func below(room string, roots []string) bool {
	for _, r := range roots {
		if room == r || strings.HasPrefix(room, r+"/") {
			return true
		}
	}
	return false
}

func TestTheRulesFindWhatBreaksThem(t *testing.T) {
	for _, c := range []struct{ room, imp string }{
		{"core/mail", "github.com/oklog/ulid/v2"},
		{"core/mail", module + "core/relay"},
		{"core/internal/queue", module + "core/internal/delivery"},
		{"core/internal/smtpin", "github.com/cockroachdb/pebble/v2"},
		{"core/internal/delivery", module + "core/internal/testkit"},
		{"examples/embed", module + "core/internal/queue"},
		{"sdk/go", module + "core/mail"},
		{"core/relay", "github.com/tetratelabs/wazero/api"},
		{"core/relay", "oras.land/oras-go/v2/registry/remote"},
		{"core/internal/wasmhost", "github.com/jedisct1/go-minisign"},
	} {
		if forbidden(c.room, c.imp) == "" {
			t.Errorf("%s may import %s", c.room, c.imp)
		}
	}
}

// TestOneModule keeps go:embed and `go install` working.
func TestOneModule(t *testing.T) {
	out, err := exec.Command("go", "list", "-m", "-json").Output()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(out, []byte(strings.TrimSuffix(module, "/"))) {
		t.Errorf("the module is %s", out)
	}
}
