// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"slices"
	"strings"
	"time"

	"github.com/postroad-mail/postroad/core/internal/config"
	"github.com/postroad-mail/postroad/core/internal/smtpin"
	"github.com/postroad-mail/postroad/core/mail"
)

// mayAsk takes off the list what a client who may not relay has no business with.
//
// DSN: a stranger's sender address may be anybody's, and who is named in it must
// not get a report of each message that we delivered; the host before us makes
// that report when we do not offer to (RFC 3461 §5.2.2). DELIVERBY: the same
// holds of its reports. FUTURERELEASE is for submission (RFC 4865), and keeps
// our disk busy. MT-PRIORITY is for those whom we believe (RFC 6710).
//
// A stage may put any of them back.
func (s *session) mayAsk(list []string) []string {
	if l, _ := s.d.at(s.g); mayYet(l, s.client) {
		return list
	}
	return slices.DeleteFunc(slices.Clone(list), func(line string) bool {
		keyword, _, _ := strings.Cut(line, " ")
		return slices.Contains([]string{"DSN", "FUTURERELEASE", "DELIVERBY", "MT-PRIORITY"}, keyword)
	})
}

// withheld returns the extensions that a listener does not offer.
func withheld(l *config.Listener) []string { return l.Extensions.Withhold }

// asked notes in an envelope what MAIL asked for beyond RFC 5321.
func asked(p smtpin.MailParams, env *mail.Envelope) *mail.Envelope {
	env.Binary, env.RequireTLS, env.DeliverBy, env.NotBefore = p.Binary, p.RequireTLS, p.DeliverBy, p.Release
	if p.Prioritized {
		env.MTPriority, env.Priority = true, p.Priority
	}
	return env
}

// noteTLS notes what the header says of TLS, unless MAIL has said the contrary
// (RFC 8689 §4.1). The field stays.
func (t *transaction) noteTLS(h *mail.Header) {
	env := t.tx.Envelope()
	v := h.Values("TLS-Required")
	env.TLSOptional = !env.RequireTLS && len(v) == 1 && strings.EqualFold(strings.TrimSpace(v[0]), "No")
}

// wishes returns in words what the client asked for by extensions of SMTP, for
// people.
func wishes(env *mail.Envelope) string {
	var words []string
	for _, w := range [...]struct {
		there bool
		word  string
	}{
		{env.EightBit, "BODY=8BITMIME"}, {env.Binary, "BODY=BINARYMIME"}, {env.SMTPUTF8, "SMTPUTF8"},
		{env.RequireTLS, "REQUIRETLS"}, {env.TLSOptional, "TLS-Required: No"},
	} {
		if w.there {
			words = append(words, w.word)
		}
	}
	if env.MTPriority {
		words = append(words, "MT-PRIORITY="+mail.FormatMTPriority(env.Priority))
	}
	if env.DeliverBy.Given() {
		words = append(words, deliverBy(env.DeliverBy))
	}
	return strings.Join(words, ", ")
}

// deliverBy says BY as a moment.
func deliverBy(d mail.DeliverBy) string {
	s := "deliver by " + d.At.UTC().Format(time.RFC3339)
	switch {
	case d.Return && d.Trace:
		return s + ", or return it, with a trace"
	case d.Return:
		return s + ", or return it"
	case d.Trace:
		return s + ", or tell its sender, with a trace"
	}
	return s + ", or tell its sender"
}

// wishesFor returns in words what the client asked for about one recipient.
func wishesFor(r *mail.Recipient) string {
	var words []string
	if r.Notify != 0 {
		words = append(words, "NOTIFY="+r.Notify.String())
	}
	if r.ValidSince.Given() {
		words = append(words, "RRVS="+r.ValidSince.String())
	}
	return strings.Join(words, ", ")
}
