// SPDX-License-Identifier: Apache-2.0

package smtpin

import (
	"strings"

	"github.com/postroad-mail/postroad/core/mail"
)

// setReport reads RET= and ENVID= (RFC 3461 §4.3, §4.4).
func (p *MailParams) setReport(key, value string) *refusal {
	var err error
	if key == "RET" {
		p.Return, err = mail.ParseReturn(value)
	} else {
		p.EnvelopeID, err = mail.ParseEnvelopeID(value)
	}
	return badParam(err)
}

// parseRcptParams reads the parameters of RCPT; those of DSN are the only ones
// that there are (RFC 3461 §4.1, §4.2).
func parseRcptParams(s string, utf8 bool, o *offer) (p RcptParams, bad *refusal) {
	p.Params = strings.Trim(s, " ")
	bad = eachParam(s, func(key, value string, _ bool) (bad *refusal) {
		var err error
		switch {
		case key == "NOTIFY" && o.has("DSN"):
			p.Notify, err = mail.ParseNotify(value)
		case key == "ORCPT" && o.has("DSN"):
			p.ORCPT, err = mail.ParseORCPT(value, utf8)
		default:
			return refuse(ReasonSyntax, 555, 5, 4, "RCPT parameter not supported")
		}
		return badParam(err)
	})
	return p, bad
}

// badParam is the refusal of a parameter whose value is wrong.
func badParam(err error) *refusal {
	if err == nil {
		return nil
	}
	return refuse(ReasonSyntax, 501, 5, 4, err.Error())
}
