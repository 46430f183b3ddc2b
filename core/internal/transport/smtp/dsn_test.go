// SPDX-License-Identifier: Apache-2.0

package smtp_test

import (
	"strings"
	"testing"

	"github.com/postroad-mail/postroad/core/internal/testkit"
	"github.com/postroad-mail/postroad/core/internal/transport/smtp"
	"github.com/postroad-mail/postroad/core/mail"
)

// asked is a job whose sender wants to hear of this and that.
func asked() *smtp.Job {
	j := job("a@x.test", "b@x.test", "c@x.test", "d@x.test")
	j.Envelope.Return, j.Envelope.EnvelopeID = mail.ReturnHeaders, "QQ 314"
	r := j.Envelope.Recipients
	r[0].Notify, r[0].ORCPT = mail.NotifySuccess|mail.NotifyDelay, "rfc822;a+x@x.test"
	r[1].Notify = mail.NotifyNever
	r[2].Original = "ünal@alias.test"
	r[3].ORCPT = "utf-8;" + strings.Repeat("ü", 90)
	return j
}

// A host with DSN is told what the sender wants, one without is not; the outcome
// says which it was.
func TestWishesGoAlong(t *testing.T) {
	const mailFrom = "MAIL FROM:<from@example.com>"
	for _, c := range []struct {
		extension string
		noDSN     bool
		want      []string
	}{
		{"DSN", false, []string{
			mailFrom + " RET=HDRS ENVID=QQ+20314",
			"RCPT TO:<a@x.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;a+2Bx@x.test",
			"RCPT TO:<b@x.test> NOTIFY=NEVER",
			`RCPT TO:<c@x.test> ORCPT=utf-8;\x{FC}nal@alias.test`,
			"RCPT TO:<d@x.test>",
		}},
		{"DSN", true, []string{
			mailFrom + " RET=HDRS ENVID=QQ+20314",
			"RCPT TO:<a@x.test> NOTIFY=NEVER ORCPT=rfc822;a+2Bx@x.test",
			"RCPT TO:<b@x.test> NOTIFY=NEVER",
			`RCPT TO:<c@x.test> NOTIFY=NEVER ORCPT=utf-8;\x{FC}nal@alias.test`,
			"RCPT TO:<d@x.test> NOTIFY=NEVER",
		}},
		{"PIPELINING", false, []string{mailFrom, "RCPT TO:<a@x.test>", "RCPT TO:<b@x.test>", "RCPT TO:<c@x.test>", "RCPT TO:<d@x.test>"}},
	} {
		s := testkit.NewSink(t, testkit.SinkOptions{Extensions: []string{c.extension}})
		j := asked()
		j.Envelope.NoDSN = c.noDSN
		ses := send(t, s, false, j)
		got := s.Commands()[0][1:6]
		if strings.Join(got, "|") != strings.Join(c.want, "|") {
			t.Errorf("%s:\ngot  %q\nwant %q", c.extension, got, c.want)
		}
		for _, o := range ses.got[j] {
			if o.Status != mail.Delivered || o.DSN != (c.extension == "DSN") {
				t.Errorf("%s: %+v", c.extension, o)
			}
		}
	}
}
