// SPDX-License-Identifier: Apache-2.0

package mail

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"
)

func TestParseAddress(t *testing.T) {
	for _, c := range []struct {
		in   string
		utf8 bool
		err  error
	}{
		{"a@b.test", false, nil},
		{"first.last+tag@sub.b.test", false, nil},
		{`"a b"@b.test`, false, nil},
		{`"a\"b"@b.test`, false, nil},
		{`"a@c"@b.test`, false, nil},
		{"a@[192.0.2.1]", false, nil},
		{"a@[IPv6:2001:db8::1]", false, nil},
		{"ü@b.test", true, nil},
		{"a@bücher.test", true, nil},
		{"ü@b.test", false, ErrNotASCII},
		{"a@bücher.test", false, ErrNotASCII},
		{"", false, ErrNoDomain},
		{"a", false, ErrNoDomain},
		{"@b.test", false, ErrLocalPart},
		{"a@", false, ErrDomain},
		{".a@b.test", false, ErrLocalPart},
		{"a..b@b.test", false, ErrLocalPart},
		{"a b@b.test", false, ErrLocalPart},
		{`"a"b"@b.test`, false, ErrLocalPart},
		{`"a\"@b.test`, false, ErrLocalPart},
		{"a@b..test", false, ErrDomain},
		{"a@-b.test", false, ErrDomain},
		{"a@b.test:25", false, ErrDomain},
		{"a@[2001:db8::1]", false, ErrDomain},
		{"a@[IPv6:192.0.2.1]", false, ErrDomain},
		{"a@[999.0.0.1]", false, ErrDomain},
		{"a\r\n@b.test", false, ErrLocalPart},
		{"a@b.test\x00", false, ErrDomain},
		{"\xff@b.test", true, ErrLocalPart},
		{strings.Repeat("a", 65) + "@b.test", false, ErrAddressSize},
		{"a@" + strings.Repeat("b.", 130) + "c", false, ErrAddressSize},
	} {
		if _, err := ParseAddress(c.in, c.utf8); !errors.Is(err, c.err) {
			t.Errorf("ParseAddress(%q, %v) = %v, want %v", c.in, c.utf8, err, c.err)
		}
	}
}

func TestAddressParts(t *testing.T) {
	a := Address(`"x@y"@B.Test`)
	if a.Local() != `"x@y"` || a.Domain() != "b.test" || a.Path() != `<"x@y"@B.Test>` || a.IsNull() || !Address("").IsNull() {
		t.Errorf("parts of %s are wrong", a)
	}
	if ip, ok := LiteralIP("[IPv6:::1]"); !ok || ip.String() != "::1" {
		t.Errorf("literal gave %v %v", ip, ok)
	}
}

func read(t *testing.T, raw string, max int) (Header, string, error) {
	t.Helper()
	r := bufio.NewReader(strings.NewReader(raw))
	h, err := ReadHeader(r, max)
	rest, _ := io.ReadAll(r)
	return h, string(rest), err
}

func TestReadHeaderKeepsEveryOctet(t *testing.T) {
	for _, c := range []struct{ raw, rest string }{
		{"A: 1\r\nB:\r\n 2\r\n\t3\r\n\r\nbody\r\n", "body\r\n"},
		{"A: 1\r\nno colon here\r\nB: 2\r\n\r\nx", "x"},
		{"A: 1\r\n", ""},
		{"A: 1", ""},
		{"\r\nbody", "body"},
		{"", ""},
		{"a-very-long-" + strings.Repeat("x", 600) + ": " + strings.Repeat("y", 9000) + "\r\n\r\nz", "z"},
		{"A: 1\r\n \r\nB: 2\r\n\r\n", ""},
	} {
		h, rest, err := read(t, c.raw, 1<<20)
		if got := string(h.AppendTo(nil)) + rest; got != c.raw || rest != c.rest || err != nil {
			t.Errorf("%.40q became %.60q, rest %q, %v", c.raw, got, rest, err)
		}
		if h.Size() != int64(len(h.AppendTo(nil))) {
			t.Errorf("%.40q: Size is %d", c.raw, h.Size())
		}
	}
}

func TestAMessageWithoutAHeaderIsAllBody(t *testing.T) {
	for _, raw := range []string{"Hello world\r\n\r\nx", " folded: x\r\n", ".\r\n", ": x\r\n"} {
		h, rest, err := read(t, raw, 100)
		if h.Len() != 0 || rest != raw || err != nil || string(h.AppendTo(nil)) != "\r\n" {
			t.Errorf("%q: %d fields, rest %q, %v", raw, h.Len(), rest, err)
		}
	}
}

func TestReadHeaderLimit(t *testing.T) {
	if _, _, err := read(t, "A: "+strings.Repeat("x", 200)+"\r\n\r\n", 100); !errors.Is(err, ErrHeaderSize) {
		t.Errorf("got %v", err)
	}
	if _, err := ReadHeader(bufio.NewReader(io.MultiReader(strings.NewReader("A: 1\r\n"), broken{})), 100); !errors.Is(err, errBroken) {
		t.Errorf("got %v", err)
	}
}

var errBroken = errors.New("connection lost")

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errBroken }

func TestHeaderEdits(t *testing.T) {
	h := ParseHeader([]byte("A: 1\r\nb : 2\r\nA: 3\r\nbad line\r\n\r\n"))
	orig := h.Clone()
	if f := (Field{Raw: []byte("X: a\xff\r\n\tb \r\n")}); f.Value() != "a\xff\tb" {
		t.Errorf("value %q", f.Value())
	}
	if id := h.Find("B", -1); id != 1 {
		t.Fatalf("Find B = %d", id)
	}
	if id := h.Find("a", 0); id != 2 {
		t.Fatalf("Find second A = %d", id)
	}
	top, _ := h.InsertTop("Top", "x")
	mid, _ := h.InsertAfter(1, "Mid", "y")
	if err := errors.Join(h.Set(0, "one"), h.Delete(2), h.Delete(3)); err != nil {
		t.Fatal(err)
	}
	before, _ := h.InsertBefore(mid, "Before", "z")
	want := "Top: x\r\nA: one\r\nb : 2\r\nBefore: z\r\nMid: y\r\n\r\n"
	if got := string(h.AppendTo(nil)); got != want {
		t.Errorf("got %q", got)
	}
	if top != 4 || mid != 5 || before != 6 {
		t.Errorf("ids %d %d %d", top, mid, before)
	}
	if got := string(orig.AppendTo(nil)); got != "A: 1\r\nb : 2\r\nA: 3\r\nbad line\r\n\r\n" {
		t.Errorf("the copy changed: %q", got)
	}
	if vs := orig.Values("a"); len(vs) != 2 || vs[1] != "3" || orig.Count("A") != 2 {
		t.Errorf("values %q", vs)
	}
	if err := h.Delete(77); !errors.Is(err, ErrNoField) {
		t.Errorf("got %v", err)
	}
}

func TestFormatField(t *testing.T) {
	long := strings.Repeat("word ", 40) + "end"
	raw, err := FormatField("Subject", long)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range bytes.Split(bytes.TrimSuffix(raw, []byte("\r\n")), []byte("\r\n")) {
		if len(line) > FoldLine {
			t.Errorf("line of %d octets", len(line))
		}
	}
	if f := (Field{Raw: raw}); f.Value() != long || f.Name() != "Subject" {
		t.Errorf("unfolded %q", f.Value())
	}
	for _, c := range []struct{ name, value string }{
		{"", "x"}, {"A B", "x"}, {"A:", "x"}, {"A", "x\r\ny"}, {"A", "x\ny"}, {"A", "x\x00"}, {"A", "\xff"}, {"A", strings.Repeat("x", 1000)}, {"Ä", "x"},
	} {
		if _, err := FormatField(c.name, c.value); err == nil {
			t.Errorf("%q: %q was taken", c.name, c.value)
		}
	}
}

func TestReplies(t *testing.T) {
	cause := errors.New("disk on fire")
	err := fmt.Errorf("queue: enqueue: %w", NewReply(452, Enhanced{4, 3, 1}, "no room").Because(cause))
	if r := ReplyOf(err); r.Code != 452 || !errors.Is(r, cause) || !r.Temporary() {
		t.Errorf("got %v", r)
	}
	if r := ReplyOf(cause); r.Line() != "451 4.3.0 local error, try again later" || strings.Contains(r.Line(), "fire") {
		t.Errorf("got %v", r)
	}
	if ReplyOf(nil) != nil {
		t.Error("a reply for no error")
	}
}

func TestVerdictsAllowedInAPhase(t *testing.T) {
	for p, want := range map[Phase]string{PhaseMail: "0123", PhaseRcpt: "012346", PhaseMessage: "0123456"} {
		var got string
		for v := Verdict(-1); v < 10; v++ {
			if p.Allowed(v) {
				got += fmt.Sprint(int(v))
			}
		}
		if got != want {
			t.Errorf("%v allows %s, want %s", p, got, want)
		}
	}
}

func FuzzReadHeader(f *testing.F) {
	f.Add([]byte("A: 1\r\n b\r\n\r\nbody"))
	f.Add([]byte("no header"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		r := bufio.NewReader(bytes.NewReader(raw))
		h, err := ReadHeader(r, 1<<16)
		if err != nil {
			return
		}
		rest, _ := io.ReadAll(r)
		whole := append(h.AppendTo(nil), rest...)
		if h.Len() == 0 && bytes.HasSuffix(whole, raw) {
			return // no header: an empty line may have come in front
		}
		if !bytes.Equal(bytes.ReplaceAll(whole, []byte("\r\n"), []byte("\n")), bytes.ReplaceAll(raw, []byte("\r\n"), []byte("\n"))) {
			t.Errorf("%q became %q", raw, whole)
		}
	})
}

func FuzzParsePriority(f *testing.F) {
	for _, s := range []string{"0", "-100", "+100", "101", "9223372036854775808", " 1", "1e1", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, ok := ParsePriority(s)
		if !ok && n != 0 || n < -MaxPriority || n > MaxPriority {
			t.Errorf("%q is %d, %v", s, n, ok)
		}
		if again, same := ParsePriority(strconv.Itoa(n)); ok && (!same || again != n) {
			t.Errorf("%q is %d, which is not read back", s, n)
		}
	})
}

func FuzzParseAddress(f *testing.F) {
	f.Add(`"a\"b"@b.test`)
	f.Fuzz(func(t *testing.T, s string) {
		a, err := ParseAddress(s, true)
		if err != nil {
			return
		}
		if strings.ContainsAny(s, "\r\n\x00") || a.Local()+"@"+strings.ToLower(s[len(a.Local())+1:]) != a.Local()+"@"+a.Domain() {
			t.Errorf("%q was taken", s)
		}
	})
}

// A message that came by BDAT may end within its header, without a line end.
func TestAFieldBehindALineWithoutAnEnd(t *testing.T) {
	h := ParseHeader([]byte("Subject: y"))
	if _, err := h.Append("X-New", "1"); err != nil {
		t.Fatal(err)
	}
	h.End()
	if got, want := string(h.AppendTo(nil)), "Subject: y\r\nX-New: 1\r\n\r\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	kept := ParseHeader([]byte("Subject: y"))
	if got := string(kept.AppendTo(nil)); got != "Subject: y" {
		t.Errorf("an unchanged header became %q", got)
	}
	kept.End()
	if got := string(kept.AppendTo(nil)); got != "Subject: y\r\n\r\n" || kept.Size() != int64(len(got)) {
		t.Errorf("an ended header became %q of %d octets", got, kept.Size())
	}
}
