// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"strings"

	"github.com/postroad-mail/postroad/core/internal/auth"
	"github.com/postroad-mail/postroad/core/internal/config"
	"github.com/postroad-mail/postroad/core/mail"
)

// refusedSender is the reason of refusals of senders that are not the user's.
const refusedSender = "sender_not_own"

// mayNotSendAs refuses a sender that is not one of the account's. The null sender
// is nobody's, and everybody's: reports and notices have it.
func mayNotSendAs(who *auth.Account, from mail.Address) *mail.Reply {
	if who == nil || who.Senders == nil || from.IsNull() || owns(who.Senders, from) {
		return nil
	}
	return mail.NewReply(553, mail.Enhanced{5, 7, 1}, "you may not send as this address")
}

// owns reports whether one of senders, addresses and "@domain"s, covers a.
func owns(senders []string, a mail.Address) bool {
	for _, s := range senders {
		cut := strings.LastIndexByte(s, '@')
		domain, local := s[cut+1:], s[:max(cut, 0)]
		if config.SameDomain(domain) == config.SameDomain(a.Domain()) && (local == "" || local == a.Local()) {
			return true
		}
	}
	return false
}
