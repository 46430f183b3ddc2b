// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// multiparts are so many in each other.
func multiparts(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n", i, i)
	}
	return b.String() + "\r\nhello\r\n"
}

// A message whose header or MIME structure goes beyond the limits is refused at its
// end, however long it goes on behind that, and the session goes on.
func TestTheFormOfAMessageIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	running(t, Options{Config: listensAt("smtp", fmt.Sprintf("%q", "unix:"+path), `
relay_from = ["127.0.0.1"]
limits {
  header_fields = 20
  field_length  = "2KiB"
  mime_depth    = 3
  mime_parts    = 5
}`)})
	c := dialTalk(t, "unix", path)
	c.ask("", "220")
	c.ask("EHLO c.test\r\n", "250")
	line := " " + strings.Repeat("a", 70) + "\r\n"
	folded := "X: a\r\n" + strings.Repeat(line, 27)
	mixed := "Content-Type: multipart/mixed; boundary=b\r\n\r\n"
	more := strings.Repeat(strings.Repeat("x", 900)+"\r\n", 500)
	for _, m := range []struct{ content, want string }{
		{strings.Repeat("A: b\r\n", 20) + "\r\n" + more, "250"},
		{strings.Repeat("A: b\r\n", 21) + "\r\n" + more, "554 5.6.0 header has more than 20 fields"},
		{folded + "\r\n" + more, "250"},
		{folded + line + "\r\n" + more, "554 5.6.0 header has a field of more than 2048 octets"},
		{multiparts(3) + more, "250"},
		{multiparts(4) + more, "554 5.6.0 MIME structure: more than 3 levels"},
		{mixed + strings.Repeat("--b\r\n\r\nx\r\n", 4) + more, "250"},
		{mixed + more + strings.Repeat("--b\r\n\r\nx\r\n", 5) + more, "554 5.6.0 MIME structure: more than 5 parts"},
		{"Subject: the next\r\n\r\n--b\r\n", "250"},
	} {
		c.ask("MAIL FROM:<a@x.test>\r\nRCPT TO:<b@y.test>\r\nDATA\r\n", "250", "250", "354")
		c.ask(m.content+".\r\nNOOP\r\n", m.want, "250 2.0.0 ok")
		c.ask(fmt.Sprintf("MAIL FROM:<a@x.test>\r\nRCPT TO:<b@y.test>\r\nBDAT %d LAST\r\n%s", len(m.content), m.content), "250", "250", m.want)
	}
}
