// SPDX-License-Identifier: Apache-2.0

package plugintest_test

import (
	"strings"
	"testing"
	"time"

	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/core/plugintest"
)

const (
	plugins = "../../plugins/"
	guests  = "../internal/wasmhost/testdata/"
)

func TestVerdictOfAFilter(t *testing.T) {
	p := plugintest.Load(t, plugins+"filter/filter.wasm", plugintest.Setup{Config: `deny_sender = ["spam@example.org"]`})
	if r := p.Run(plugintest.Message{From: "spam@example.org"}); r.Verdict != mail.Reject || len(r.Calls) != 1 || r.Err != nil {
		t.Errorf("denied sender: %+v", r)
	}
	r := p.Run(plugintest.Message{From: "ann@example.org"})
	if r.Verdict != mail.Continue || r.Err != nil || !strings.HasSuffix(r.Message, "\r\n\r\nHello.\r\n") {
		t.Errorf("other sender: %+v", r)
	}
}

func TestTimeAndBuckets(t *testing.T) {
	p := plugintest.Load(t, plugins+"ratelimit/ratelimit.wasm", plugintest.Setup{
		Config: "limit {\n  key = \"client\"\n  bucket = \"slow\"\n}",
		Blocks: "bucket \"slow\" {\n  rate = \"1/1m\"\n  burst = 1\n}",
	})
	want := []mail.Verdict{mail.Continue, mail.Tempfail, mail.Continue}
	for n, wait := range []time.Duration{0, time.Second, time.Minute} {
		p.Advance(wait)
		if r := p.Run(plugintest.Message{}); r.Verdict != want[n] || r.Err != nil {
			t.Errorf("message %d: %v, %v, want %v", n+1, r.Verdict, r.Err, want[n])
		}
	}
}

func TestEditsAndMessage(t *testing.T) {
	p := plugintest.Load(t, plugins+"rewrite/rewrite.wasm", plugintest.Setup{Config: `subject_tag = "[list]"`})
	r := p.Run(plugintest.Message{EML: "Subject: Hi\n\nText.\n"})
	if r.Err != nil || len(r.Edits()) == 0 {
		t.Fatalf("edits %+v, error %v", r.Edits(), r.Err)
	}
	if s, _ := r.Header("Subject"); s != "[list] Hi" {
		t.Errorf("subject %q after %+v", s, r.Edits())
	}
	c := r.Calls[len(r.Calls)-1]
	if c.Phase != mail.PhaseMessage || c.Fuel <= 0 || c.HostCalls <= 0 || c.Memory <= 0 {
		t.Errorf("account %+v", c)
	}
}

func TestFailureOfThePlugin(t *testing.T) {
	p := plugintest.Load(t, guests+"hostile/trap.wasm", plugintest.Setup{})
	r := p.Run(plugintest.Message{})
	if r.Err == nil || len(r.Calls) != 1 || r.Calls[0].Cause != "trap" {
		t.Errorf("result %+v", r)
	}
}

func TestLogOfThePlugin(t *testing.T) {
	p := plugintest.Load(t, guests+"guests/lifecycle.wasm", plugintest.Setup{})
	p.Run(plugintest.Message{To: []string{"a@example.test", "b@example.test"}})
	if n := strings.Count(p.Log(), "step-h"); n != 4 {
		t.Errorf("%d hooks are in the log: %s", n, p.Log())
	}
}

func TestWhatDoesNotLoad(t *testing.T) {
	cases := []struct {
		path  string
		setup plugintest.Setup
		want  string
	}{
		{guests + "none.wasm", plugintest.Setup{}, "no such file"},
		{guests + "refused/no_on.wasm", plugintest.Setup{}, "does not export the function pr_on"},
		{plugins + "filter/filter.wasm", plugintest.Setup{Config: "deny_sendr = []"}, "deny_sender"},
		{plugins + "filter/filter.wasm", plugintest.Setup{Plugin: "grant {\n  read = [\"envelope\"]\n}"}, "headers"},
	}
	for _, c := range cases {
		if _, err := plugintest.TryLoad(t, c.path, c.setup); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", c.path, err, c.want)
		}
	}
}
