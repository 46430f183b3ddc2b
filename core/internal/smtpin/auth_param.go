// SPDX-License-Identifier: Apache-2.0

package smtpin

import "github.com/postroad-mail/postroad/core/mail"

// checkSubmitter reads AUTH= of MAIL (RFC 4954 §5): "<>" or, in xtext, the mailbox
// of who submitted the message first. We trust nobody to say so: whatever stands
// there counts as "<>", and the next hop does not hear of it.
func checkSubmitter(value string) *refusal {
	if value == "<>" {
		return nil
	}
	who, err := mail.ParseXtext(value)
	if err == nil {
		_, err = mail.ParseAddress(who, true)
	}
	if err != nil || who == "" {
		return refuse(ReasonSyntax, 501, 5, 4, "AUTH is neither <> nor a mailbox in xtext")
	}
	return nil
}
