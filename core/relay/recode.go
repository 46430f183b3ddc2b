// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"errors"
	"fmt"

	"github.com/postroad-mail/postroad/core/internal/recode"
	"github.com/postroad-mail/postroad/core/internal/transport/smtp"
	"github.com/postroad-mail/postroad/core/mail"
)

// recoded returns a message as a host can take it that takes no binary parts and,
// without eightBit, no octets above 127. The new body is spooled; what is queued
// stays as it is.
func (r *Relay) recoded(header []byte, body mail.Body, eightBit bool) (smtp.Converted, error) {
	p, err := recode.New(header, body, eightBit)
	if errors.Is(err, recode.ErrCannot) {
		return smtp.Converted{}, fmt.Errorf("%w (%w)", smtp.ErrUnconvertible, err)
	}
	if err != nil {
		return smtp.Converted{}, err
	}
	w := r.newBody()
	if err := p.Body(w); err != nil {
		w.Abort()
		return smtp.Converted{}, err
	}
	out, err := w.Finish()
	if err != nil {
		return smtp.Converted{}, err
	}
	return smtp.Converted{Header: p.Header(), Body: out, Release: func() { release(out) }}, nil
}
