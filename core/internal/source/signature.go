// SPDX-License-Identifier: Apache-2.0

package source

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"unicode"

	"github.com/jedisct1/go-minisign"
)

// Bounds of what is read. minisign itself takes trusted comments of 8 KiB.
const (
	maxSignature = 16 << 10
	maxKey       = 4 << 10
)

// trustedPrefix begins the line of the trusted comment.
const trustedPrefix = "trusted comment: "

// checkSignature checks the signature that r asks for, and notes in v whose it
// is. Without a public key in r there is nothing to check.
func checkSignature(r Request, f *found, v *Verified) error {
	switch {
	case r.PublicKey == "" && r.Signature == "":
		return nil
	case r.PublicKey == "":
		return fmt.Errorf("signature = %q is there, but no public_key to check it with; add the signer's public_key", r.Signature)
	}
	key, err := readKey(r.PublicKey)
	if err != nil {
		return err
	}
	text, name, err := readSignature(r, f)
	if err != nil {
		return err
	}
	sig, err := verify(key, text, f.wasm)
	if err != nil {
		return fmt.Errorf("signature %s: %w", name, err)
	}
	v.KeyID, v.Comment = keyID(key.KeyId), printable(strings.TrimPrefix(sig.TrustedComment, trustedPrefix))
	return nil
}

// readKey returns the key whose text, or whose file's absolute path, s is.
func readKey(s string) (minisign.PublicKey, error) {
	name, text := fmt.Sprintf("public_key = %q", s), s
	if filepath.IsAbs(s) {
		b, err := readFile(s, maxKey, "name the signer's .pub file as public_key, or write the key itself")
		if err != nil {
			return minisign.PublicKey{}, err
		}
		name, text = "public_key file "+s, keyLine(string(b))
	}
	key, err := minisign.NewPublicKey(strings.TrimSpace(text))
	if err != nil || key.SignatureAlgorithm != [2]byte{'E', 'd'} {
		return minisign.PublicKey{}, fmt.Errorf("%s is not a minisign public key; it is the line that begins with RW in the signer's .pub file", name)
	}
	return key, nil
}

// keyLine returns the line with the key: the last one of two, or the only one.
func keyLine(file string) string {
	lines := strings.Split(strings.TrimSpace(file), "\n")
	return lines[len(lines)-1]
}

// readSignature returns the signature's text and what to call it in errors.
func readSignature(r Request, f *found) (text []byte, name string, err error) {
	switch {
	case r.Signature != "":
		text, err = readFile(r.Signature, maxSignature, "correct signature, or take public_key out")
		return text, r.Signature, err
	case r.Path != "":
		file := r.Path + ".minisig"
		text, err = readFile(file, maxSignature, "public_key asks for it: sign the module with \"minisign -Sm\", or name the file as signature")
		return text, file, err
	case f.signature != nil:
		text, err = annotationText(f.signature)
		return text, "in the annotation " + annotation, err
	}
	return nil, "", fmt.Errorf("public_key asks for a signature, and none came with %s; name its file as signature", r.Source)
}

// annotationText returns the text of an annotation, which may be in base64.
func annotationText(a []byte) ([]byte, error) {
	if len(a) > 2*maxSignature {
		return nil, fmt.Errorf("the annotation %s is larger than %s; annotate the layer with the .minisig file", annotation, octets(2*maxSignature))
	}
	if bytes.Contains(a, []byte(trustedPrefix)) {
		return a, nil
	}
	text, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(a)))
	if err != nil {
		return nil, fmt.Errorf("the annotation %s is neither a minisign signature nor one in base64; annotate the layer with the .minisig file", annotation)
	}
	return text, nil
}

// verify checks that text is the signature of module by key, of either of
// minisign's two kinds, the prehashed and the legacy one.
func verify(key minisign.PublicKey, text, module []byte) (minisign.Signature, error) {
	sig, err := minisign.DecodeSignature(string(text))
	if err != nil || !strings.HasPrefix(sig.TrustedComment, trustedPrefix) || !knownKind(sig) {
		return sig, errors.New("this is not a minisign signature; sign the module with \"minisign -Sm\"")
	}
	if sig.KeyId != key.KeyId {
		return sig, fmt.Errorf("it was made by key %s, but public_key is key %s; get a signature by that key, or correct public_key", keyID(sig.KeyId), keyID(key.KeyId))
	}
	if ok, err := key.Verify(module, sig); err == nil && ok {
		return sig, nil
	}
	return sig, whatIsWrong(key, sig)
}

func knownKind(s minisign.Signature) bool {
	return s.SignatureAlgorithm == [2]byte{'E', 'd'} || s.SignatureAlgorithm == [2]byte{'E', 'D'}
}

// whatIsWrong tells an altered module from an altered signature: the second half
// of a signature covers the first half and the trusted comment, but not the
// module.
func whatIsWrong(key minisign.PublicKey, s minisign.Signature) error {
	signed := append(s.Signature[:], strings.TrimPrefix(s.TrustedComment, trustedPrefix)...)
	if ed25519.Verify(key.PublicKey[:], signed, s.GlobalSignature[:]) {
		return errors.New("it is not that of this module: the module was altered or is another one; get module and signature from their author again")
	}
	return errors.New("it was altered: its trusted comment or the signature itself is not what the key signed; get it from the module's author again")
}

// keyID prints a key's id as minisign does.
func keyID(id [8]byte) string { return fmt.Sprintf("%016X", binary.LittleEndian.Uint64(id[:])) }

// printable replaces what could disturb a terminal or a log.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case !unicode.IsPrint(r):
			return '?'
		}
		return r
	}, s)
}
