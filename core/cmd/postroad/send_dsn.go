// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/emersion/go-smtp"

	"github.com/postroad-mail/postroad/core/mail"
)

var errNoDSN = errors.New("the server does not offer DSN to this client, which --notify, --ret, --envid and --orcpt need")

// wishes are the parameters of RFC 3461 as the client library takes them.
type wishes struct {
	some bool // anything is asked for
	mail *smtp.MailOptions
	rcpt []*smtp.RcptOptions // of each --to
}

// wishes checks them as the relay's own SMTP would.
func (k sendCmd) wishes() (*wishes, error) {
	w := &wishes{some: k.Notify+k.Ret+k.Envid != "" || len(k.Orcpt) > 0, mail: &smtp.MailOptions{}}
	if len(k.Orcpt) > 0 && len(k.Orcpt) != len(k.To) {
		return nil, fmt.Errorf("--orcpt is there %d times and --to %d times; give one for each recipient", len(k.Orcpt), len(k.To))
	}
	if err := k.askMail(w.mail); err != nil {
		return nil, err
	}
	for i := range k.To {
		o := &smtp.RcptOptions{}
		if err := k.askRcpt(i, o); err != nil {
			return nil, err
		}
		w.rcpt = append(w.rcpt, o)
	}
	return w, nil
}

func (k sendCmd) askMail(o *smtp.MailOptions) error {
	if k.Ret != "" {
		r, err := mail.ParseReturn(k.Ret)
		if err != nil {
			return fmt.Errorf("--ret %q: %w", k.Ret, err)
		}
		o.Return = smtp.DSNReturn(r.String())
	}
	if k.Envid != "" {
		if _, err := mail.ParseEnvelopeID(mail.Xtext(k.Envid)); err != nil {
			return fmt.Errorf("--envid %q: %w", k.Envid, err)
		}
		o.EnvelopeID = k.Envid
	}
	return nil
}

func (k sendCmd) askRcpt(i int, o *smtp.RcptOptions) error {
	if k.Notify != "" {
		n, err := mail.ParseNotify(k.Notify)
		if err != nil {
			return fmt.Errorf("--notify %q: %w", k.Notify, err)
		}
		for word := range strings.SplitSeq(n.String(), ",") {
			o.Notify = append(o.Notify, smtp.DSNNotify(word))
		}
	}
	if len(k.Orcpt) == 0 || k.Orcpt[i] == "" {
		return nil
	}
	kind, address, _ := strings.Cut(k.Orcpt[i], ";")
	kind = strings.ToUpper(kind)
	if err := mail.CheckORCPT(k.Orcpt[i]); err != nil || kind != "RFC822" && kind != "UTF-8" {
		return fmt.Errorf("--orcpt %q is not a type (rfc822 or utf-8) and an address, such as 'rfc822;bob@example.org'", k.Orcpt[i])
	}
	o.OriginalRecipientType, o.OriginalRecipient = smtp.DSNAddressType(kind), address
	return nil
}
