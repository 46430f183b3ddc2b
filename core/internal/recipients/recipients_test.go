// SPDX-License-Identifier: Apache-2.0

package recipients

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postroad-mail/postroad/core/internal/testkit"
)

func TestListsOfRecipients(t *testing.T) {
	path := filepath.Join(t.TempDir(), "recipients")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("# ours\n\ncarl\r\n Dora@b.test \n")
	c, err := New(Options{Known: []string{"Ann", "bob@b.test"}, File: path})
	if err != nil {
		t.Fatal(err)
	}
	know := func(address string) bool {
		t.Helper()
		known, err := c.Known(t.Context(), address)
		if err != nil {
			t.Fatal(err)
		}
		return known
	}
	for address, want := range map[string]bool{
		"ann@a.test": true, "ANN@b.test": true, "bob@b.test": true, "bob@B.TEST": true, "bob@a.test": false, "carl@a.test": true, "dora@b.test": true,
		"dora@a.test": false, "eve@a.test": false, "PostMaster@a.test": true, "#@a.test": false, "@a.test": false, "": false,
	} {
		if know(address) != want {
			t.Errorf("%q: want %v", address, want)
		}
	}
	write("eve\nand some more\n")
	if !know("eve@a.test") || know("carl@a.test") {
		t.Error("the file is not followed")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if !know("eve@a.test") {
		t.Error("without the file its recipients are gone")
	}
	if _, err := New(Options{File: path}); err == nil {
		t.Error("a file that is not there is no fault")
	}
}

// host is a next hop that knows ann, and what is asked of it.
func host(t *testing.T) (*Host, *testkit.Sink, *time.Time) {
	t.Helper()
	sink := testkit.NewSink(t, testkit.SinkOptions{Script: func(e testkit.Event) testkit.Action {
		switch {
		case e.Verb != "RCPT", strings.Contains(e.Arg, "ann@"):
			return testkit.Action{}
		case strings.Contains(e.Arg, "later@"):
			return testkit.Action{Reply: "451 4.3.0 not now"}
		case strings.Contains(e.Arg, "policy@"):
			return testkit.Action{Reply: "554 5.7.1 not you"}
		case strings.Contains(e.Arg, "cut@"):
			return testkit.Action{Drop: true}
		}
		return testkit.Action{Reply: "550 5.1.1 no such user"}
	}})
	at := time.Date(2030, 1, 1, 9, 0, 0, 0, time.UTC)
	h := NewHost(sink.Addr().String(), "relay.test", func() time.Time { return at })
	t.Cleanup(func() { h.Close() })
	return h, sink, &at
}

func TestTheHostWithTheMailboxesIsAsked(t *testing.T) {
	h, sink, _ := host(t)
	for address, want := range map[string]string{"ann@a.test": "yes", "bob@a.test": "no", "later@a.test": "fault", "policy@a.test": "fault", "cut@a.test": "fault"} {
		known, err := h.Known(t.Context(), address)
		got := map[bool]string{true: "yes", false: "no"}[known]
		if err != nil {
			got = "fault"
		}
		if got != want {
			t.Errorf("%s: %s (%v), want %s", address, got, err, want)
		}
	}
	if sink.Count() > 0 {
		t.Error("a message was sent")
	}
}

func TestAnswersAreKeptForAWhile(t *testing.T) {
	h, sink, at := host(t)
	ask := func(address string) {
		t.Helper()
		if _, err := h.Known(t.Context(), address); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		ask("ann@a.test")
		ask("bob@a.test")
	}
	if n := sink.Connections(); n != 1 {
		t.Errorf("%d connections", n)
	}
	sink.Close()
	ask("ann@a.test")
	*at = at.Add(noFor)
	ask("ann@a.test")
	if _, err := h.Known(t.Context(), "bob@a.test"); err == nil {
		t.Error("a no is kept for ever")
	}
	*at = at.Add(yesFor)
	if _, err := h.Known(t.Context(), "ann@a.test"); err == nil {
		t.Error("a yes is kept for ever")
	}
}

func FuzzParse(f *testing.F) {
	f.Add("# ours\n\nann\r\n bob@b.test \n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, name := range Parse(text) {
			if name == "" || name[0] == '#' || strings.ContainsAny(name, "\n") {
				t.Fatalf("%q is a recipient", name)
			}
		}
	})
}
