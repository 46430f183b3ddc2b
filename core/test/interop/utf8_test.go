// SPDX-License-Identifier: Apache-2.0

//go:build interop

package interop

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postroad-mail/postroad/core/internal/testkit"
)

// utf8Message has what SMTPUTF8 (RFC 6531, RFC 6532) allows in a header.
const utf8Message = "From: J\u00f6rg <j\u00f6rg@here.test>\r\nTo: <gr\u00fc\u00dfe@there.test>\r\nSubject: Gr\u00fc\u00dfe \u2709\r\n" +
	"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\u65e5\u672c\u8a9e\r\n"

func sendUTF8(t *testing.T, r *relay, from string, to ...string) {
	t.Helper()
	file := write(t, filepath.Join(t.TempDir(), "m"), []byte(utf8Message))
	if out, err := output(t, "python3", append([]string{"testdata/smtplib_send.py", "utf8", r.addr, file, from}, to...)...); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// TestSMTPUTF8 sends to addresses that are not ASCII: into a Maildir, and to a next hop that offers SMTPUTF8.
func TestSMTPUTF8(t *testing.T) {
	next := testkit.NewSink(t, testkit.SinkOptions{})
	r := startRelay(t, "testdata/stages.hcl", "POSTROAD_SINK="+next.Addr().String())
	sendUTF8(t, r, "j\u00f6rg@here.test", "gr\u00fc\u00dfe@sink.test", "box@box.test")
	eventually(t, "Maildir", func() error {
		got, err := one(r.mailbox("box", "box.test"), fromMailbox)
		if err != nil {
			return err
		}
		return same(got, lf([]byte(utf8Message)))
	})
	var ms []testkit.Received
	eventually(t, "next hop", func() error {
		if ms = next.Messages(); len(ms) != 1 {
			return fmt.Errorf("%d messages", len(ms))
		}
		return nil
	})
	if m := ms[0]; m.To[0] != "<gr\u00fc\u00dfe@sink.test>" || m.From != "<j\u00f6rg@here.test>" || !strings.Contains(strings.Join(m.FromParams, " "), "SMTPUTF8") {
		t.Errorf("MAIL FROM:%s %q, RCPT TO:%q", m.From, m.FromParams, m.To)
	}
	got, err := withoutReceived(lf(ms[0].Content))
	if err == nil {
		err = same(got, lf([]byte(utf8Message)))
	}
	if err != nil {
		t.Error(err)
	}
}

// TestSMTPUTF8Refused sends such a message to smtp-sink, which does not offer SMTPUTF8: the sender gets a report.
func TestSMTPUTF8Refused(t *testing.T) {
	w := newWay(t, "testdata/plain.hcl")
	sendUTF8(t, w.relay, "sender@box.test", "gr\u00fc\u00dfe@sink.test")
	eventually(t, "report", func() error {
		got, err := one(w.relay.mailbox("sender", "box.test"), os.ReadFile)
		if err == nil && !bytes.Contains(got, []byte("\nStatus: 5.6.7\n")) {
			err = fmt.Errorf("%s", got)
		}
		return err
	})
	if files := w.sink.files("gr\u00fc\u00dfe@sink.test"); len(files) != 0 {
		t.Errorf("smtp-sink got %q", files)
	}
}
