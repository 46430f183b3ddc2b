// SPDX-License-Identifier: Apache-2.0

//go:build interop

package interop

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// way is a relay with both ends that mail leaves it by.
type way struct {
	relay *relay
	sink  *sink
}

func newWay(t *testing.T, config string) way {
	t.Helper()
	s := startSink(t)
	return way{startRelay(t, config, "POSTROAD_SINK="+s.addr), s}
}

// TestIdentity sends every message with every client through a relay without stages and through one with four, to
// smtp-sink and into a Maildir at once.
func TestIdentity(t *testing.T) {
	all, cases := clients(t), messages(t)
	for config, stages := range map[string]string{"plain": "", "stages": "ratelimit,filter,rewrite,route"} {
		t.Run(config, func(t *testing.T) {
			w := newWay(t, "testdata/"+config+".hcl")
			for _, c := range all {
				t.Run(c.name, func(t *testing.T) { w.passes(t, c, cases) })
			}
			accepted, staged := w.relay.accepted(stages)
			if staged != accepted || accepted < len(all)*len(cases) {
				t.Errorf("%d of %d messages passed the stages %q", staged, accepted, stages)
			}
		})
	}
}

func (w way) passes(t *testing.T, c client, cases []message) {
	for _, m := range cases {
		t.Run(m.name, func(t *testing.T) {
			to := c.name + "." + m.name
			if out, err := c.send(t, w.relay.addr, m.content, to+"@sink.test", to+"@box.test"); err != nil {
				t.Fatalf("%v\n%s", err, tail(out))
			}
			m.content = append(m.content[:len(m.content):len(m.content)], c.adds...)
			w.arrived(t, to, m)
		})
	}
	t.Run("too-long-line", func(t *testing.T) {
		out, err := c.send(t, w.relay.addr, tooLong(), "nobody@sink.test")
		if err == nil || !strings.Contains(out+err.Error(), "554 5.6.0") {
			t.Errorf("a line of 1 MiB and an octet: %v\n%s", err, tail(out))
		}
	})
}

// arrived waits for the message at both ends and compares.
func (w way) arrived(t *testing.T, local string, m message) {
	t.Helper()
	at := func(end string, files func() []string, read func(string) ([]byte, error)) {
		var got []byte
		eventually(t, end, func() (err error) {
			if got, err = one(files(), read); err != nil {
				return err
			}
			return same(got, lf(m.content))
		})
		if m.check != nil {
			m.check(t, crlf(got))
		}
		for _, f := range files() {
			os.Remove(f) // only saves room
		}
	}
	at("smtp-sink", func() []string { return w.sink.files(local + "@sink.test") }, fromSink)
	at("Maildir", func() []string { return w.relay.mailbox(local, "box.test") }, fromMailbox)
}

// one reads the only file.
func one(files []string, read func(string) ([]byte, error)) ([]byte, error) {
	if len(files) != 1 {
		return nil, fmt.Errorf("%d files", len(files))
	}
	return read(files[0])
}

// TestComposed has clients compose messages themselves.
func TestComposed(t *testing.T) {
	w := newWay(t, "testdata/stages.hcl")
	dir := installNodemailer(t)
	t.Run("smtplib", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "m")
		out, err := output(t, "python3", "testdata/smtplib_send.py", "compose", w.relay.addr, file, sender, "python@sink.test", "python@box.test")
		w.composed(t, "python", file, out, err)
	})
	t.Run("nodemailer", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "m")
		out, err := outputOf(t, node(t, dir, "compose", w.relay.addr, file, sender, "node@sink.test", "node@box.test"))
		w.composed(t, "node", file, out, err)
	})
}

func (w way) composed(t *testing.T, local, file, out string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	w.arrived(t, local, message{content: content})
}
