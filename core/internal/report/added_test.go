// SPDX-License-Identifier: Apache-2.0

package report_test

import (
	"strings"
	"testing"

	"github.com/postroad-mail/postroad/core/internal/report"
)

// Fields that stages add stand in the header, each once, but none that would
// change what the notification says of itself.
func TestAddedFields(t *testing.T) {
	in := input()
	in.Added = []byte("X-Ticket: 42\r\nX-Ticket: 42\r\nSubject: mine\r\ncontent-language: de\r\nX-Two:\r\n folded\r\nno field\r\nX-Gr\xc3\xbc\xc3\x9fe: 1\r\nX-Name: gr\xc3\xbc\xc3\x9fe\r\n")
	_, header, _, err := report.BuildDSN(in)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(string(header), "\"\r\nX-Ticket: 42\r\nX-Two:\r\n folded\r\n\r\n") {
		t.Errorf("header %s", header)
	}
	in.Envelope.SMTPUTF8 = true
	_, header, _, err = report.BuildDSN(in)
	if err != nil || !strings.Contains(string(header), "X-Name: gr\xc3\xbc\xc3\x9fe\r\n\r\n") {
		t.Errorf("header %s, %v", header, err)
	}
}
