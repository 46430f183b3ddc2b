// SPDX-License-Identifier: Apache-2.0

package source_test

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postroad-mail/postroad/core/internal/source"
)

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

func TestABuiltinIsPartOfTheProgram(t *testing.T) {
	o := source.Options{
		Builtin: func(name string) ([]byte, bool) { return module, name == "filter" },
		Names:   func() []string { return []string{"filter", "route"} },
	}
	c := read(t, o, source.Request{Source: "builtin:filter"})
	if string(c.Wasm) != string(module) || c.From != "builtin" || c.Verified.SHA256 != sum(module) || c.Verified.KeyID != "" {
		t.Errorf("%+v", c)
	}
	wantWords(t, refused(t, o, source.Request{Source: "builtin:fliter"}), `no builtin plugin "fliter"`, "filter, route")
	wantWords(t, refused(t, source.Options{}, source.Request{Source: "builtin:filter"}), `no builtin plugin "filter"`)
	wantWords(t, refused(t, o, source.Request{Source: "builtin:filter", PublicKey: key}), "none came with builtin:filter", "signature")
}

func TestAFileIsReadWithinItsBounds(t *testing.T) {
	path := write(t, "x.wasm", module)
	c := read(t, source.Options{}, source.Request{Source: "./x.wasm", Path: path, SHA256: strings.ToUpper(sum(module))})
	if string(c.Wasm) != string(module) || c.From != "file" {
		t.Errorf("%+v", c)
	}
	large := write(t, "large.wasm", nil)
	if err := os.Truncate(large, source.MaxModule+1); err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		path, pin string
		words     []string
	}{
		{path + "x", "", []string{path + "x", "does not exist", "build the plugin or correct its source"}},
		{filepath.Dir(path), "", []string{filepath.Dir(path), "is not a file"}},
		{os.DevNull, "", []string{os.DevNull, "is not a file"}},
		{large, "", []string{large, "larger than 32 MiB"}},
		{path, sum([]byte("else")), []string{sum(module), "pins another"}},
	} {
		wantWords(t, refused(t, source.Options{}, source.Request{Source: "./x.wasm", Path: x.path, SHA256: x.pin}), x.words...)
	}
}

// TestThePinComesBeforeTheSignature: what is not the pinned module is not worth
// a look at its signature.
func TestThePinComesBeforeTheSignature(t *testing.T) {
	path := write(t, "x.wasm", module)
	wantWords(t, refused(t, source.Options{}, source.Request{Path: path, SHA256: sum(nil), PublicKey: "nonsense"}), "pins another")
}
