// SPDX-License-Identifier: Apache-2.0

package mail

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestParseNotify(t *testing.T) {
	for in, want := range map[string]string{
		"NEVER":                 "NEVER",
		"success":               "SUCCESS",
		"Delay,Failure":         "FAILURE,DELAY",
		"SUCCESS,FAILURE,DELAY": "SUCCESS,FAILURE,DELAY",
		"":                      "error",
		",":                     "error",
		"SUCCESS,":              "error",
		"NEVER,FAILURE":         "error",
		"NEVER,NEVER":           "error",
		"DELAY,DELAY":           "error",
		"DELAY, FAILURE":        "error",
		"ALWAYS":                "error",
	} {
		n, err := ParseNotify(in)
		got := n.String()
		if err != nil {
			got = "error"
		}
		if got != want || !n.Valid() {
			t.Errorf("NOTIFY=%s is %s, want %s", in, got, want)
		}
	}
	for _, n := range []Notify{NotifyNever | NotifyDelay, 1 << 4, 0xff} {
		if n.Valid() {
			t.Errorf("%08b is valid", n)
		}
	}
}

func TestParseReturn(t *testing.T) {
	for in, want := range map[string]Return{"FULL": ReturnFull, "hdrs": ReturnHeaders, "": ReturnUnset, "HEADERS": ReturnUnset} {
		r, err := ParseReturn(in)
		if r != want || (err == nil) != (want != ReturnUnset) {
			t.Errorf("RET=%s is %v, %v", in, r, err)
		}
	}
	if s := ReturnHeaders.String() + ReturnFull.String() + ReturnUnset.String(); s != "HDRSFULL" {
		t.Error(s)
	}
}

func TestParseEnvelopeID(t *testing.T) {
	for in, want := range map[string]string{
		"QQ314159":                             "QQ314159",
		"a+2Bb+3Dc+20d":                        "a+b=c d",
		"!~<>":                                 "!~<>",
		"":                                     "error",
		"+":                                    "error",
		"+2":                                   "error",
		"+2b":                                  "error",
		"a=b":                                  "error",
		"a b":                                  "error",
		"+0D+0Aevil":                           "error",
		"+FC":                                  "error",
		"ü":                                    "error",
		strings.Repeat("x", MaxEnvelopeID):     strings.Repeat("x", MaxEnvelopeID),
		strings.Repeat("x", MaxEnvelopeID+1):   "error",
		strings.Repeat("+41", MaxEnvelopeID/3): strings.Repeat("A", MaxEnvelopeID/3),
	} {
		got, err := ParseEnvelopeID(in)
		if err != nil {
			got = "error"
		}
		if got != want {
			t.Errorf("ENVID=%s is %q, want %q", in, got, want)
		}
	}
}

func TestParseORCPT(t *testing.T) {
	for _, c := range []struct {
		in   string
		utf8 bool
		want string
	}{
		{"rfc822;bob@x.test", false, "rfc822;bob@x.test"},
		{"RFC822;bob+2Btag@x.test", false, "RFC822;bob+tag@x.test"},
		{"rfc822;not+20an+20address", false, "rfc822;not an address"},
		{"x-my-type;/c=de/", false, "error"},
		{"x400;/c+3Dde/", false, "x400;/c=de/"},
		{`utf-8;j\x{FC}rgen@x.test`, false, "utf-8;jürgen@x.test"},
		{`utf-8;\x{1F600}\x{2B}\x{20}@x.test`, false, "utf-8;😀+ @x.test"},
		{"utf-8;jürgen@x.test", true, "utf-8;jürgen@x.test"},
		{"utf-8;jürgen@x.test", false, "error"},
		{"rfc822;jürgen@x.test", true, "error"},
		{`utf-8;\x{D800}@x.test`, false, "error"},
		{`utf-8;\x{110000}@x.test`, false, "error"},
		{`utf-8;\x{0A}@x.test`, false, "error"},
		{`utf-8;\x{}@x.test`, false, "error"},
		{`utf-8;\x{41`, false, "error"},
		{`utf-8;a\b@x.test`, false, "error"},
		{"utf-8;a+2Bb@x.test", false, "error"},
		{"utf-8;\xff@x.test", true, "error"},
		{"rfc822;a+00@x.test", false, "error"},
		{"rfc822;a+FC@x.test", false, "error"},
		{"rfc822;", false, "error"},
		{";bob@x.test", false, "error"},
		{"rfc822", false, "error"},
		{"rfc 822;x", false, "error"},
		{"rfc822;" + strings.Repeat("x", MaxORCPT-7), false, "rfc822;" + strings.Repeat("x", MaxORCPT-7)},
		{"rfc822;" + strings.Repeat("x", MaxORCPT-6), false, "error"},
	} {
		got, err := ParseORCPT(c.in, c.utf8)
		if err != nil {
			got = "error"
		}
		if got != c.want {
			t.Errorf("ORCPT=%s is %q, want %q", c.in, got, c.want)
		}
	}
}

func TestFormatORCPT(t *testing.T) {
	for in, want := range map[string]string{
		"rfc822;a+b=c d@x.test":              "rfc822;a+2Bb+3Dc+20d@x.test",
		"utf-8;jürgen+x@x.test":              `utf-8;j\x{FC}rgen\x{2B}x@x.test`,
		"utf-8;" + strings.Repeat("ü", 90):   "",
		TypedAddress("bob@x.test"):           "rfc822;bob@x.test",
		TypedAddress("jürgen@bücher.test"):   `utf-8;j\x{FC}rgen@b\x{FC}cher.test`,
		"rfc822;" + strings.Repeat("+", 165): "",
	} {
		if got := FormatORCPT(in); got != want {
			t.Errorf("%q is ORCPT=%s, want %s", in, got, want)
		}
	}
}

func TestCheckORCPT(t *testing.T) {
	for in, ok := range map[string]bool{
		"rfc822;a+b=c@x.test": true, "utf-8;jürgen@x.test": true, "x400;/C=de/": true,
		"": false, "bob@x.test": false, "rfc822;": false, "rfc 822;bob@x.test": false, "rfc822;a\r\nb": false, "rfc822;jürgen@x.test": false,
		"rfc822;" + strings.Repeat("a", MaxORCPT): false,
	} {
		if err := CheckORCPT(in); (err == nil) != ok {
			t.Errorf("%q: %v", in, err)
		}
	}
}

// What is taken is harmless in a header, and comes back the same.
func FuzzDSNParameters(f *testing.F) {
	f.Add("SUCCESS,DELAY")
	f.Add("a+2Bb+20c")
	f.Add(`utf-8;j\x{FC}rgen@x.test`)
	f.Add("rfc822;bob@x.test")
	f.Fuzz(func(t *testing.T, s string) {
		if n, err := ParseNotify(s); err == nil {
			if again, err := ParseNotify(n.String()); err != nil || again != n || n == 0 {
				t.Errorf("NOTIFY=%s", s)
			}
		}
		if id, err := ParseEnvelopeID(s); err == nil {
			if again, err := ParseXtext(Xtext(id)); err != nil || again != id || !printable(id) {
				t.Errorf("ENVID=%s", s)
			}
		}
		for _, raw := range []bool{true, false} {
			orcpt, err := ParseORCPT(s, raw)
			if err != nil {
				continue
			}
			if !utf8.ValidString(orcpt) || strings.ContainsAny(orcpt, "\r\n\x00") {
				t.Errorf("ORCPT=%q is %q", s, orcpt)
			}
			if wire := FormatORCPT(orcpt); wire != "" {
				if err := CheckORCPT(orcpt); err != nil {
					t.Errorf("ORCPT=%s: %v", wire, err)
				}
				if again, err := ParseORCPT(wire, false); err != nil || again != orcpt {
					t.Errorf("ORCPT=%s, then %s", s, wire)
				}
			}
		}
	})
}
