// SPDX-License-Identifier: Apache-2.0

package smtpin

import (
	"io"
	"testing"

	"github.com/postroad-mail/postroad/core/mail"
)

// The backend gets what was asked for as values, and as it was written.
func TestWishesReachTheBackend(t *testing.T) {
	b := &backend{}
	_, addr := serve(t, Options{Backend: b})
	c := dial(t, addr)
	c.send("EHLO x\r\nMAIL FROM:<a@x.test> RET=FULL ENVID=QQ+20314\r\n" +
		"RCPT TO:<b@x.test> NOTIFY=delay,success ORCPT=rfc822;B+2Bx@x.test\r\nRCPT TO:<c@x.test>\r\nDATA\r\n.\r\nQUIT\r\n")
	if _, err := io.ReadAll(c.r); err != nil {
		t.Fatal(err)
	}
	m := b.messages[0]
	if p := m.params; p.Return != mail.ReturnFull || p.EnvelopeID != "QQ 314" || p.Params != "RET=FULL ENVID=QQ+20314" {
		t.Errorf("MAIL: %+v", p)
	}
	want := RcptParams{Notify: mail.NotifySuccess | mail.NotifyDelay, ORCPT: "rfc822;B+x@x.test", Params: "NOTIFY=delay,success ORCPT=rfc822;B+2Bx@x.test"}
	if m.rcpts[0] != want || m.rcpts[1] != (RcptParams{}) {
		t.Errorf("RCPT: %+v", m.rcpts)
	}
}
