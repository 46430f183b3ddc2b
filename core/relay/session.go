// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"context"

	"github.com/postroad-mail/postroad/core/internal/smtpin"
	"github.com/postroad-mail/postroad/core/mail"
)

// Open implements smtpin.Backend.
func (d *door) Open(_ context.Context, c *mail.Client) (smtpin.Session, *mail.Reply) {
	return &session{d: d, client: c}, nil
}

// session is one connection.
type session struct {
	d      *door
	client *mail.Client
}

// TLS implements smtpin.Session.
func (s *session) TLS(context.Context) *mail.Reply { return nil }

// Helo implements smtpin.Session.
func (s *session) Helo(_ context.Context, list []string) ([]string, *mail.Reply) { return list, nil }

// Mail begins a transaction. It keeps the generation that it began with.
func (s *session) Mail(ctx context.Context, from mail.Address, p smtpin.MailParams) (smtpin.Transaction, *mail.Reply) {
	t, r := s.d.begin(ctx, s.client, from, p)
	if r != nil {
		return nil, r
	}
	return t, nil
}

// Close implements smtpin.Session.
func (s *session) Close() {}
