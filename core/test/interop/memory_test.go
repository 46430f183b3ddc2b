// SPDX-License-Identifier: Apache-2.0

//go:build interop

package interop

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"testing"

	"golang.org/x/sync/errgroup"
)

// memoryMargin is what the relay may take beyond its idle memory, and crowd the number of messages at once.
const (
	memoryMargin = 64 << 20
	crowd        = 20
)

// TestMemory sends twenty messages with attachments of 20 MiB at once through a stage that writes every body anew. The
// relay's resident memory must stay within a margin that is far below the size of the messages.
func TestMemory(t *testing.T) {
	w := newWay(t, "testdata/footer.hcl")
	content := attachment(20 << 20)
	want := bytes.Replace(content, []byte("See the attachment.\r\n"), []byte("See the attachment.\r\n\r\nSent by Postroad.\r\n"), 1)

	idle := w.relay.memory("VmRSS")
	w.relay.forgetPeak()
	atOnce(t, w.relay.addr, stuffed(content))
	for i := range crowd {
		w.rewritten(t, fmt.Sprintf("crowd%d@sink.test", i), want)
	}
	peak := w.relay.memory("VmHWM")
	t.Logf("%d messages of %d MiB at once: idle %.1f MiB, at most %.1f MiB, %.1f MiB more", crowd, len(content)>>20, mib(idle), mib(peak), mib(peak-idle))
	if peak > idle+memoryMargin {
		t.Errorf("that is more than %d MiB", memoryMargin>>20)
	}
}

// atOnce sends the octets of DATA on as many connections as there are messages. When all are in the relay but for the
// last line, the last lines are sent together, so that all are in the stage together.
func atOnce(t *testing.T, server string, octets []byte) {
	t.Helper()
	var all errgroup.Group
	var in sync.WaitGroup
	in.Add(crowd)
	for i := range crowd {
		s, err := newSpeaker(server)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		all.Go(func() error {
			s.say(250, "MAIL FROM:<%s>", sender)
			s.say(250, "RCPT TO:<crowd%d@sink.test>", i)
			s.say(354, "DATA")
			s.W.Write(octets) // Flush tells
			err := s.W.Flush()
			in.Done()
			in.Wait()
			s.say(250, ".")
			return errors.Join(err, s.err)
		})
	}
	if err := all.Wait(); err != nil {
		t.Fatal(err)
	}
}

// rewritten waits for the message that smtp-sink got for a recipient.
func (w way) rewritten(t *testing.T, rcpt string, want []byte) {
	t.Helper()
	eventually(t, rcpt, func() error {
		got, err := one(w.sink.files(rcpt), fromSink)
		if err != nil {
			return err
		}
		return same(got, lf(want))
	})
}

func mib(n int64) float64 { return float64(n) / (1 << 20) }
