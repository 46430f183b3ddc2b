// SPDX-License-Identifier: Apache-2.0

package filters

import (
	"os"
	"strings"
	"testing"
)

// TestLock: the committed modules are those that were built from the committed
// sources. `go run ./core/bench/filters/build` makes both anew.
func TestLock(t *testing.T) {
	lock, err := Lock()
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range Guests() {
		if g.Name == Go {
			continue
		}
		source, err := os.ReadFile(g.Source)
		if err != nil {
			t.Fatal(err)
		}
		module, err := Module(t.Context(), g.Name)
		if err != nil {
			t.Fatal(err)
		}
		if l := lock[g.Name]; l.Source != Sum(source) || l.Module != Sum(module) || l.Compiler == "" {
			t.Errorf("%s is not what the lock says: %+v", g.Name, l)
		}
	}
}

// TestReport counts by hand.
func TestReport(t *testing.T) {
	const mail = "A: 1\r\nB: 2\r\n\tc: 3\r\n\r\nThe THE cat, a cät-log; the lot\r\nLOT x\r\n"
	if got := Report([]byte(mail)); got != "fields=2 other=2 words=4 the=3 lot=2 cat=1 log=1" {
		t.Error(got)
	}
}

// TestMessage: the mail is as large as asked for, and what a scan has to do with
// it is what it is named after.
func TestMessage(t *testing.T) {
	m := Message(100 << 10)
	if n := len(m) - 100<<10; n < 0 || n > 40 {
		t.Errorf("%d octets too many", n)
	}
	if got := Report(m); !strings.HasPrefix(got, "fields=13 other=") || !strings.Contains(got, " words=200 ") {
		t.Error(got)
	}
}
