// SPDX-License-Identifier: Apache-2.0

package source_test

import (
	"os"
	"strings"
	"testing"

	"github.com/postroad-mail/postroad/core/internal/source"
)

// The files in testdata were made by the program minisign 0.11:
//
//	minisign -G -W -p signer.pub
//	minisign -S -m empty.wasm -t "postroad test 1.0"
//	minisign -S -l -m empty.wasm -t legacy -x legacy.minisig
const (
	key   = "RWQ4ErvNkVOtQBZYOaFGRV0wJPWCCMI6qjRbq5ntIF/alJct8elxyh0/"
	keyID = "40AD5391CDBB1238"
)

// otherKey is that of the minisign program itself.
const otherKey = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3"

func testdata(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSignaturesOfMinisign(t *testing.T) {
	wasm := abs(t, "testdata/empty.wasm")
	for _, x := range []struct{ name, key, signature, comment string }{
		{"key as text, file beside the module", key, "", "postroad test 1.0"},
		{"key file", abs(t, "testdata/signer.pub"), "", "postroad test 1.0"},
		{"key file of one line, with CRLF", write(t, "k.pub", []byte(key+"\r\n")), "", "postroad test 1.0"},
		{"legacy signature", key, abs(t, "testdata/legacy.minisig"), "legacy"},
		{"signature file with CRLF", key, write(t, "s", []byte(strings.ReplaceAll(string(testdata(t, "empty.wasm.minisig")), "\n", "\r\n"))), "postroad test 1.0"},
	} {
		t.Run(x.name, func(t *testing.T) {
			v := read(t, source.Options{}, source.Request{Path: wasm, PublicKey: x.key, Signature: x.signature}).Verified
			if v.KeyID != keyID || v.Comment != x.comment {
				t.Errorf("%+v", v)
			}
			wantWords(t, v.String(), v.SHA256, "signed by key "+keyID, x.comment)
		})
	}
}

func TestFaultsOfSignatures(t *testing.T) {
	good := string(testdata(t, "empty.wasm.minisig"))
	lines := strings.Split(good, "\n")
	with := func(i int, line string) string {
		l := append([]string(nil), lines...)
		l[i] = line
		return write(t, "x.minisig", []byte(strings.Join(l, "\n")))
	}
	flipped := []byte(lines[1])
	flipped[40] ^= 1
	wasm, altered := abs(t, "testdata/empty.wasm"), write(t, "altered.wasm", append([]byte(nil), append(module, 0)...))
	sig := abs(t, "testdata/empty.wasm.minisig")
	for _, x := range []struct {
		name, wasm, key, sig string
		words                []string
	}{
		{"another key", wasm, otherKey, sig, []string{sig, "made by key " + keyID, "public_key is key E7620F1842B4E81F", "correct public_key"}},
		{"altered module", altered, key, sig, []string{sig, "the module was altered", "from their author again"}},
		{"altered trusted comment", wasm, key, with(2, "trusted comment: postroad test 2.0"), []string{"x.minisig", "its trusted comment", "again"}},
		{"altered signature", wasm, key, with(1, string(flipped)), []string{"x.minisig", "was altered"}},
		{"prehashed said to be legacy", wasm, key, with(1, "RWQ"+lines[1][3:]), []string{"x.minisig"}},
		{"unknown algorithm", wasm, key, with(1, "AA"+lines[1][2:]), []string{"not a minisign signature"}},
		{"no trusted comment", wasm, key, with(2, "comment: x"), []string{"not a minisign signature"}},
		{"no signature at all", wasm, key, write(t, "x.minisig", []byte("hello")), []string{"x.minisig", "not a minisign signature", "minisign -Sm"}},
		{"missing file", wasm, key, sig + "x", []string{sig + "x", "does not exist", "take public_key out"}},
		{"missing default file", altered, key, "", []string{altered + ".minisig", "does not exist", "minisign -Sm"}},
		{"signature too large", wasm, key, write(t, "x.minisig", make([]byte, 20<<10)), []string{"x.minisig", "larger than 16 KiB"}},
		{"no key", wasm, "", sig, []string{sig, "no public_key", "add the signer's public_key"}},
		{"key is nonsense", wasm, "RWnonsense", sig, []string{`public_key = "RWnonsense"`, "begins with RW"}},
		{"key file is missing", wasm, "/nowhere/x.pub", sig, []string{"/nowhere/x.pub", "does not exist", "public_key"}},
		{"key file is a secret key", wasm, write(t, "k.key", []byte("untrusted comment: x\nRWRCSwAAAAA=\n")), sig, []string{"k.key", "not a minisign public key"}},
	} {
		t.Run(x.name, func(t *testing.T) {
			wantWords(t, refused(t, source.Options{}, source.Request{Source: "./x", Path: x.wasm, PublicKey: x.key, Signature: x.sig}), x.words...)
		})
	}
}
