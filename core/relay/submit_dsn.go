// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"fmt"
	"slices"
	"strings"

	"github.com/postroad-mail/postroad/core/internal/smtpin"
	"github.com/postroad-mail/postroad/core/mail"
)

// wishes are what the sender wants to hear, as the parameters of a MAIL command;
// an error is one that a client of SMTP would have got as 501.
func (s *Submission) wishes(utf8 bool) (p smtpin.MailParams, err error) {
	if s.Return > mail.ReturnHeaders {
		return p, fmt.Errorf("submit: %w", mail.ErrReturn)
	}
	id := mail.Xtext(s.EnvelopeID)
	if s.EnvelopeID != "" {
		if _, err := mail.ParseEnvelopeID(id); err != nil {
			return p, fmt.Errorf("submit: envelope id %q: %w", s.EnvelopeID, err)
		}
	}
	for rcpt, w := range s.DSN {
		if err := s.checkWish(rcpt, &w); err != nil {
			return p, err
		}
	}
	p = smtpin.MailParams{SMTPUTF8: utf8, EightBit: true, Return: s.Return, EnvelopeID: s.EnvelopeID}
	if p.Params = params("RET", s.Return.String(), "ENVID", id); p.Params != "" && utf8 {
		p.Params = "SMTPUTF8 " + p.Params
	}
	if p.Params != "" {
		p.Params = "BODY=8BITMIME " + p.Params
	}
	return p, nil
}

func (s *Submission) checkWish(rcpt string, w *RecipientDSN) error {
	switch {
	case !slices.Contains(s.Recipients, rcpt):
		return fmt.Errorf("submit: DSN names %q, which is no recipient of the message", rcpt)
	case !w.Notify.Valid():
		return fmt.Errorf("submit: recipient %s: %w", rcpt, mail.ErrNotify)
	case w.ORCPT == "":
		return nil
	}
	if err := mail.CheckORCPT(w.ORCPT); err != nil {
		return fmt.Errorf("submit: recipient %s: ORCPT %q: %w; it is a type and an address, such as %q", rcpt, w.ORCPT, err, "rfc822;bob@example.org")
	}
	return nil
}

// wishesFor are those about one recipient, as the parameters of its RCPT.
func (s *Submission) wishesFor(rcpt string) smtpin.RcptParams {
	w := s.DSN[rcpt]
	orcpt := ""
	if w.ORCPT != "" {
		orcpt = mail.FormatORCPT(w.ORCPT)
	}
	return smtpin.RcptParams{Notify: w.Notify, ORCPT: w.ORCPT, Params: params("NOTIFY", w.Notify.String(), "ORCPT", orcpt)}
}

// params are keys and values as a command of SMTP has them; those without a value
// are left out.
func params(pairs ...string) string {
	var words []string
	for kv := range slices.Chunk(pairs, 2) {
		if kv[1] != "" {
			words = append(words, kv[0]+"="+kv[1])
		}
	}
	return strings.Join(words, " ")
}
