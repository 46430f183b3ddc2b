// SPDX-License-Identifier: Apache-2.0

package smtpin

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/postroad-mail/postroad/core/mail"
)

// words splits s at spaces. strings.Fields would split at more than those.
func words(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ' ' })
}

// parseParams reads the parameters of MAIL. One that belongs to no extension
// we offer is 555 (RFC 5321 §4.1.1.11).
func (c *mailCommand) parseParams(s string, o *offer) *refusal {
	c.params.Params = strings.Trim(s, " ")
	bad := eachParam(s, func(key, value string, hasValue bool) *refusal { return c.set(key, value, hasValue, o) })
	if bad == nil {
		bad = c.times.check(o)
	}
	return bad
}

// eachParam hands the parameters of a command to set, with the keywords in upper
// case, up to the first fault.
func eachParam(s string, set func(key, value string, hasValue bool) *refusal) *refusal {
	seen := make([]string, 0, 4)
	for _, f := range words(s) {
		key, value, hasValue := strings.Cut(f, "=")
		key = strings.ToUpper(key)
		if slices.Contains(seen, key) {
			return refuse(ReasonSyntax, 501, 5, 4, "parameter given twice")
		}
		seen = append(seen, key)
		if bad := set(key, value, hasValue); bad != nil {
			return bad
		}
	}
	return nil
}

func (c *mailCommand) set(key, value string, hasValue bool, o *offer) *refusal {
	p := &c.params
	switch {
	case key == "SIZE" && o.has("SIZE"):
		return p.setSize(value, o.size)
	case key == "BODY" && (o.has("8BITMIME") || o.has("BINARYMIME")):
		return p.setBody(value, o)
	case key == "SMTPUTF8" && o.has("SMTPUTF8") && !hasValue:
		p.SMTPUTF8 = true
		return nil
	case (key == "RET" || key == "ENVID") && o.has("DSN"):
		return p.setReport(key, value)
	case key == "REQUIRETLS" && o.has("REQUIRETLS"):
		return p.requireTLS(hasValue)
	case key == "MT-PRIORITY" && o.has("MT-PRIORITY"):
		return p.setPriority(value)
	case key == "AUTH" && o.has("AUTH"):
		return checkSubmitter(value)
	case o.has(extensionOf(key)):
		return c.times.set(key, value)
	}
	return refuse(ReasonSyntax, 555, 5, 4, "MAIL parameter not supported")
}

// setSize reads SIZE=, one to twenty digits (RFC 1870 §3).
func (p *MailParams) setSize(value string, limit int64) *refusal {
	n, err := strconv.ParseUint(value, 10, 64)
	switch {
	case errors.Is(err, strconv.ErrRange) && len(value) <= 20 || err == nil && n > uint64(limit):
		return tooBig(limit)
	case err != nil || len(value) > 20:
		return refuse(ReasonSyntax, 501, 5, 4, "SIZE is not a number")
	}
	p.Size = int64(n)
	return nil
}

// setBody reads BODY= (RFC 6152 §3, RFC 3030 §3).
func (p *MailParams) setBody(value string, o *offer) *refusal {
	switch value = strings.ToUpper(value); {
	case value == "7BIT":
		return nil
	case value == "8BITMIME" && o.has("8BITMIME"):
		p.EightBit = true
		return nil
	case value == "BINARYMIME" && o.has("BINARYMIME"):
		p.Binary = true
		return nil
	}
	return refuse(ReasonSyntax, 555, 5, 4, "BODY value not supported")
}

func tooBig(limit int64) *refusal {
	return refuse(ReasonSize, 552, 3, 4, "message is larger than "+strconv.FormatInt(limit, 10)+" octets")
}

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

// parseRcptParams reads the parameters of RCPT: those of DSN (RFC 3461 §4.1, §4.2)
// and RRVS (RFC 7293 §3.1).
func parseRcptParams(s string, utf8 bool, o *offer) (p RcptParams, bad *refusal) {
	p.Params = strings.Trim(s, " ")
	bad = eachParam(s, func(key, value string, _ bool) (bad *refusal) {
		var err error
		switch {
		case key == "NOTIFY" && o.has("DSN"):
			p.Notify, err = mail.ParseNotify(value)
		case key == "ORCPT" && o.has("DSN"):
			p.ORCPT, err = mail.ParseORCPT(value, utf8)
		case key == "RRVS" && o.has("RRVS"):
			p.ValidSince, err = mail.ParseValidSince(value)
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
