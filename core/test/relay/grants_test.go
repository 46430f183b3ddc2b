// SPDX-License-Identifier: Apache-2.0

package relay_test

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postroad-mail/postroad/core/relay"
)

// wanting is a module for the phase message that does nothing, with a manifest
// that wants that.
func wanting(wants string) []byte {
	manifest := "\x11postroad.manifest" + `{"name":"x","version":"1","abi":"postroad_v1","phases":["message"],"wants":` + wants + `}`
	return append([]byte("\x00asm\x01\x00\x00\x00"+
		"\x01\x0b\x02\x60\x00\x01\x7e\x60\x02\x7f\x7f\x01\x7f"+ // () -> i64, (i32, i32) -> i32
		"\x03\x03\x02\x00\x01\x05\x03\x01\x00\x01"+
		"\x07\x1c\x03\x06memory\x02\x00\x07pr_init\x00\x00\x05pr_on\x00\x01"+
		"\x0a\x0c\x02\x05\x00\x42\x80\x04\x0b\x04\x00\x41\x00\x0b"),
		append(binary.AppendUvarint([]byte{0}, uint64(len(manifest))), manifest...)...)
}

// TestAPatternMeetsAManifestThatNamesAHost: "asks for grants that it does not
// have" was the answer to each of these.
func TestAPatternMeetsAManifestThatNamesAHost(t *testing.T) {
	const wants = `{"http":["api.example.org"],"secrets":["token"],"next_hops":["mx.example.org:25"]}`
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "x.wasm"), wanting(wants), 0o600); err != nil {
		t.Fatal(err)
	}
	check := func(grant string) (*relay.Checked, error) {
		hcl := "server { hostname = \"mx.here.test\" }\nlistener \"smtp\" \"in\" { pipeline = pipeline.p }\n" +
			"plugin \"x\" {\n source = \"" + filepath.Join(dir, "x.wasm") + "\"\n grant {\n" + grant + "\n}\n}\n" +
			"pipeline \"p\" {\n stage \"x\" { plugin = plugin.x }\n}\n" +
			"routing {\n rule { route = route.out }\n}\nroute \"out\" {\n discard {}\n}\n"
		return relay.Check(t.Context(), relay.Options{Config: []byte(hcl), DataDir: filepath.Join(dir, "data"), Env: func(name string) (string, bool) {
			return "s3cret", strings.HasSuffix(name, "TOKEN")
		}})
	}
	for _, grant := range []string{
		"http = [\"*.example.org\"]\nsecrets = [\"token\"]\nnext_hops = [\"*.example.org:25\"]",
		"http = [\"*\"]\nsecrets = [\"*\"]\nnext_hops = [\"*\"]",
		"http = [\"api.example.org\", \"*\"]\nsecrets = [\"token\"]\nnext_hops = [\"mx.example.org:*\"]",
	} {
		c, err := check(grant)
		if err != nil {
			t.Errorf("%s\n%v", grant, err)
			continue
		}
		if len(c.Warnings) > 0 {
			t.Errorf("%s\n%v", grant, c.Warnings)
		}
	}
	_, err := check("http = [\"*.example.net\"]\nsecrets = [\"*\"]\nnext_hops = [\"*:587\"]")
	if err == nil || !strings.Contains(err.Error(), `http      = ["*.example.net", "api.example.org"]`) || !strings.Contains(err.Error(), `next_hops = ["*:587", "mx.example.org:25"]`) ||
		strings.Count(err.Error(), "grants that it does not have") != 1 {
		t.Errorf("%v", err)
	}
}
