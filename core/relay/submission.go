// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"github.com/postroad-mail/postroad/core/internal/config"
	"github.com/postroad-mail/postroad/core/internal/smtpin"
	"github.com/postroad-mail/postroad/core/mail"
)

// refusedLogin is the reason of refusals of those who have not logged in.
const refusedLogin = "login_required"

// mustLogIn refuses MAIL on a submission listener (RFC 6409 §4.3), and on any that
// says so, from a client that has not logged in and is not in relay_from.
func mustLogIn(l *config.Listener, c *mail.Client) *mail.Reply {
	must := l.Kind == config.KindSubmission
	if l.Auth != nil {
		must = l.Auth.Required
	}
	if !must || mayRelay(l, c) {
		return nil
	}
	return mail.NewReply(530, mail.Enhanced{5, 7, 0}, "authentication required")
}

// mayYet reports whether a client may send anywhere, or may log in later in this
// session: it is not shown another list then.
func mayYet(l *config.Listener, c *mail.Client) bool {
	return l.Kind == config.KindSubmission || l.Auth != nil && l.Auth.Required || mayRelay(l, c)
}

// kindOf is what a listener speaks.
func kindOf(c *config.Listener) smtpin.Kind {
	switch c.Kind {
	case config.KindSubmission:
		return smtpin.Submission
	case config.KindLMTP:
		return smtpin.LMTP
	}
	return smtpin.SMTP
}
