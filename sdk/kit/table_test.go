// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/postroad-mail/postroad/sdk/abi"
)

// TestEveryFunctionHasEveryClass: a function that is new in abi.json fails here
// until cases.txt has its rows.
func TestEveryFunctionHasEveryClass(t *testing.T) {
	if m := Missing(Cases()); len(m) > 0 {
		t.Errorf("cases.txt has no row, and no reason for none: %q", m)
	}
	cases := slices.DeleteFunc(Cases(), func(c *Case) bool { return c.Function == "emit" && c.Class == "limit" })
	if m := Missing(cases); !slices.Equal(m, []string{"emit limit"}) {
		t.Errorf("without the limits of emit, missing are %q", m)
	}
}

// TestEveryCaseIsOneOfItsOwn: names tell cases apart, and each has something to
// fail for.
func TestEveryCaseIsOneOfItsOwn(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range Cases() {
		if seen[c.Name()] {
			t.Errorf("twice: %s", c.Name())
		}
		seen[c.Name()] = true
		if c.NotApplicable == "" && len(c.Steps)+len(c.Failing) == 0 {
			t.Errorf("%s does nothing", c.Name())
		}
	}
	if n := len(seen); n < 1000 {
		t.Errorf("only %d cases", n)
	}
}

// TestEveryVerdictInEveryPhase: derived from the ABI's table; in reset the verdict
// is ignored.
func TestEveryVerdictInEveryPhase(t *testing.T) {
	for _, p := range abi.Phases() {
		for v := int64(0); v <= abi.VerdictSkip; v++ {
			c := verdict(&p, v)
			if allowed := p.Verdicts>>uint(v)&1 != 0 || p.Number == abi.PhaseReset; allowed == c.fails(p.Number) {
				t.Errorf("verdict %d in %s: allowed %t, and the hook must fail: %t", v, p.Name, allowed, c.fails(p.Number))
			}
		}
	}
}

// TestGuestCallsEveryFunction: the module is built from the functions of today.
func TestGuestCallsEveryFunction(t *testing.T) {
	for _, f := range served() {
		name := string(rune(len(f.Name))) + f.Name
		if !bytes.Contains(Guest, []byte(string(rune(len(abi.Module)))+abi.Module+name)) {
			t.Errorf("guest.wasm does not import %s: run wat2wasm sdk/kit/guest/guest.wat -o sdk/kit/guest/guest.wasm", f.Name)
		}
	}
}

func TestWants(t *testing.T) {
	p := parser{}
	for _, c := range []struct {
		want string
		r    report
		ok   bool
	}{
		{"3", report{result: 3}, true}, {"3", report{result: 4}, false}, {"3+", report{result: 4}, true}, {"3+", report{result: 2}, false},
		{"not_found", report{result: -1}, true}, {"limit", report{result: -5}, true}, {"limit", report{result: 0}, false}, {"any", report{result: -7}, true},
		{"absent", report{result: abi.Absent}, true}, {"1 \"a\"", report{1, "61aaaa"}, true}, {"1 \"a\"", report{1, "6161aa"}, false},
		{"1 \"a\"", report{1, "aaaaaa"}, false}, {"5 untouched", report{5, "aaaa"}, true}, {"5 untouched", report{5, "aa00"}, false}, {"0 u64(1)", report{0, "0100000000000000aa"}, true},
	} {
		w := p.want(c.want)
		if err := w.check(c.r); (err == nil) != c.ok {
			t.Errorf("%q of %+v: %v", c.want, c.r, err)
		}
	}
}

func TestMistakesInTheTable(t *testing.T) {
	for _, row := range []string{
		"message nothing -> ok", "message get 1 2 -> ok", "message now", "messages now -> ok", "message get field.none 0 @8 -> ok",
		"message log 1 \"x -> ok", "message now -> maybe", "state x", "state x = y", "message log 1 x(0) -> ok", "message log 1 odd(0) -> ok",
	} {
		func() {
			defer func() {
				if r := recover(); r == nil || !strings.HasPrefix(r.(string), "cases.txt:2: ") {
					t.Errorf("%q: %v", row, r)
				}
			}()
			parse("== now ok\n" + row)
		}()
	}
}
