// SPDX-License-Identifier: Apache-2.0

package smtpin

import "testing"

// The names that go into Received (RFC 3848, RFC 6531 §4.3).
func TestProtocolNames(t *testing.T) {
	for smtp, lmtp := range map[string]string{
		"ESMTP": "LMTP", "ESMTPS": "LMTPS", "ESMTPA": "LMTPA", "ESMTPSA": "LMTPSA",
		"UTF8SMTP": "UTF8LMTP", "UTF8SMTPS": "UTF8LMTPS", "UTF8SMTPA": "UTF8LMTPA", "UTF8SMTPSA": "UTF8LMTPSA",
	} {
		equal(t, smtp, LMTP.protocol(smtp), lmtp)
		equal(t, smtp, SMTP.protocol(smtp), smtp)
		equal(t, smtp, Submission.protocol(smtp), smtp)
	}
}
