// SPDX-License-Identifier: Apache-2.0

package relay_test

import (
	"context"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postroad-mail/postroad/core/relay"
)

// TestMessagesCutOffBeforeTheirEndLeaveNothing: a client that sends much and goes
// before the final dot, again and again, must not fill queue or disk.
func TestMessagesCutOffBeforeTheirEndLeaveNothing(t *testing.T) {
	g := &rig{t: t, sink: newSink(t), clock: relay.NewFakeClock(time.Now()), ended: make(chan error, 1)}
	o := g.options(base("", ""), nil)
	o.InMemory = false
	r, err := relay.Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	g.run(r)
	big := hello + strings.Repeat("0123456789abcdef\r\n", 20_000) // its body is a file
	for i := range 8 {
		c := g.dial()
		c.cmd(250, "MAIL FROM:<a@here.test>")
		c.cmd(250, "RCPT TO:<b@far.test>")
		if i%2 == 0 {
			c.cmd(354, "DATA")
		} else if err := c.c.PrintfLine("BDAT %d", len(big)+1); err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(c.c.W, big)
		if err := c.c.W.Flush(); err != nil {
			t.Fatal(err)
		}
		c.c.Close()
	}
	g.dial().send(250, "a@here.test", hello, "b@far.test") // the relay goes on
	wait(t, g, 1)
	g.idle()
	if q := g.queue(); len(q) != 0 {
		t.Errorf("%d messages are queued that nobody ended", len(q))
	}
	g.end() // waits for the sessions
	if left := bodies(t, o.DataDir); len(left) > 0 {
		t.Errorf("bodies were left behind: %q", left)
	}
}

// bodies lists the files of the spool.
func bodies(t *testing.T, dir string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if strings.Contains(path, "spool") {
			found = append(found, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
