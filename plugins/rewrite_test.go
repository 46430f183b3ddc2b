// SPDX-License-Identifier: Apache-2.0

package plugins_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/postroad-mail/postroad/core/plugintest"
)

// chunk is how much of a body the rewrite plugin reads at a time.
const chunk = 64 << 10

// TestFooterAcrossChunks puts the end of the text at every offset around the
// borders of what the plugin reads at a time.
func TestFooterAcrossChunks(t *testing.T) {
	p := plugintest.Load(t, modulePath("rewrite"), plugintest.Setup{Config: `footer = "Bye"`})
	const head = "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"=_b\"\r\n\r\n"
	const open, rest = "--=_b\r\nContent-Type: text/plain\r\n\r\n", "\r\n--=_b\r\nContent-Type: text/html\r\n\r\n--=_c\r\n\r\n--=_b--\r\n"
	for _, border := range []int{chunk, 2 * chunk, 3*chunk - 20} {
		for size := border - len(open) - 12; size < border-len(open)+4; size++ {
			text := filler(size)
			r := p.Run(plugintest.Message{EML: head + open + text + rest})
			if want := head + open + text + "\r\n\r\nBye" + rest; r.Err != nil || r.Message != want {
				t.Fatalf("text of %d octets: error %v, message differs at %d", size, r.Err, differ(r.Message, want))
			}
		}
	}
}

func TestFooterOfALongText(t *testing.T) {
	p := plugintest.Load(t, modulePath("rewrite"), plugintest.Setup{Config: `footer = "Bye"`})
	for _, size := range []int{chunk - 1, chunk, chunk + 1, 20 * chunk} {
		eml := "Subject: long\r\n\r\n" + filler(size) + "\r\n"
		r := p.Run(plugintest.Message{EML: eml})
		if want := eml + "\r\nBye\r\n"; r.Err != nil || r.Message != want {
			t.Errorf("text of %d octets: error %v, message differs at %d", size, r.Err, differ(r.Message, want))
		}
	}
}

// filler returns n octets in lines, with no line end at the end.
func filler(n int) string {
	const line = "0123456789 abcdefghijklmnopqrstuvwxyz --=_ not a delimiter\r\n"
	s := strings.Repeat(line, n/len(line)+1)[:n]
	return strings.TrimRight(s, "\r\n") + strings.Repeat("x", n-len(strings.TrimRight(s, "\r\n")))
}

func differ(a, b string) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

// TestBrokenMessages feeds messages with octets changed at random: whatever
// comes, no plugin may fail, for that would keep the mail out.
func TestBrokenMessages(t *testing.T) {
	setups := map[string]string{
		"filter":  "deny_header {\n name = \"Subject\"\n match = \"(a|b)*c\"\n}\ndeny_attachment = [\"*.exe\"]",
		"rewrite": "subject_tag = \"[ü]\"\nfooter = \"Bye\"\ndelete_header {\n name = \"X-*\"\n match = \"1\"\n}\nreplace_header {\n name = \"Subject\"\n match = \"e\"\n with = \"é\"\n}",
		"route":   "rule {\n header = \"Subject\"\n match = \"q\"\n next_hop = \"mx.example.test:25\"\n}",
	}
	for name, config := range setups {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := plugintest.Load(t, modulePath(name), plugintest.Setup{Config: config})
			r := rand.New(rand.NewPCG(1, 2))
			for range 400 {
				eml := broken(r)
				if res := p.Run(plugintest.Message{EML: eml, SMTPUTF8: r.IntN(2) == 0}); res.Err != nil {
					t.Fatalf("%v\nmessage %q\nlog %s", res.Err, eml, p.Log())
				}
			}
		})
	}
}

// broken returns a message with a few octets changed, taken out or doubled.
func broken(r *rand.Rand) string {
	const seed = "Subject: =?utf-8?q?caf=C3=A9?=\n folded\nX-A: 1\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"b;\\\"\"\n\n" +
		"--b;\"\nContent-Type: multipart/alternative; boundary=c\n\n--c\nContent-Type: text/plain; charset=utf-8\n\ntext\n--c--\n" +
		"--b;\"\nContent-Disposition: attachment; filename*=utf-8''%C3%A9.exe\n\nAAAA\n--b;\"--\n"
	const odd = "\x00\xff\xc3\r\n\t :;=?\"\\-()<>@"
	b := []byte(seed)
	for range 1 + r.IntN(8) {
		i := r.IntN(len(b))
		switch r.IntN(3) {
		case 0:
			b[i] = odd[r.IntN(len(odd))]
		case 1:
			b = append(b[:i], b[min(len(b), i+r.IntN(9)):]...)
		case 2:
			j := min(len(b), i+r.IntN(60))
			b = append(b[:j:j], append([]byte(string(b[i:j])), b[j:]...)...)
		}
		if len(b) == 0 {
			return ""
		}
	}
	return string(b)
}
