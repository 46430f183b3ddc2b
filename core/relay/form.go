// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"errors"
	"fmt"
	"io"

	"github.com/postroad-mail/postroad/core/internal/pipeline"
	"github.com/postroad-mail/postroad/core/mail"
)

// fields holds the header to its limits. The configuration has at most 9,000
// fields, which leaves the stages some of the 10,000 that the pipeline lets it grow
// to: a message that no stage can edit would get a 451 for ever.
func (t *transaction) fields(h *mail.Header) *mail.Reply {
	l := &t.l.Limits
	if h.Len() > l.HeaderFields {
		return mail.NewReply(554, mail.Enhanced{5, 6, 0}, fmt.Sprintf("header has more than %d fields", l.HeaderFields))
	}
	for _, f := range h.Fields() {
		if len(f.Raw) > l.FieldLength {
			return mail.NewReply(554, mail.Enhanced{5, 6, 0}, fmt.Sprintf("header has a field of more than %d octets", l.FieldLength))
		}
	}
	return nil
}

// nesting returns what follows the body's MIME structure.
func (t *transaction) nesting(h *mail.Header) *pipeline.Nesting {
	return pipeline.NewNesting(h, pipeline.MIMELimits{Depth: t.l.Limits.MIMEDepth, Parts: t.l.Limits.MIMEParts})
}

// nested turns a structure beyond limits into the refusal of the message, of which
// r is the rest. Other errors stay as they are.
func (t *transaction) nested(r io.Reader, err error) error {
	if !errors.Is(err, pipeline.ErrNesting) {
		return err
	}
	return t.drain(r, refusedMIME, mail.NewReply(554, mail.Enhanced{5, 6, 0}, err.Error()))
}
