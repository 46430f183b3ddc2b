// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"context"
	"errors"
	"slices"

	"github.com/postroad-mail/postroad/core/internal/auth"
	"github.com/postroad-mail/postroad/core/internal/config"
	"github.com/postroad-mail/postroad/core/mail"
)

// sameProxies reports whether the word of the same hosts is believed.
func sameProxies(a, b *config.Proxies) bool {
	return slices.Equal(a.Protocol, b.Protocol) && slices.Equal(a.XClient, b.XClient) && a.Login == b.Login
}

// withVia appends who told of the client, where somebody did, to what the log says
// of its address.
func withVia(c *mail.Client, kv ...any) []any {
	if c.Via.IsValid() {
		kv = append(kv, "via", c.Via)
	}
	return kv
}

// accounts is a directory that knows its users without a password.
type accounts interface {
	Account(ctx context.Context, user string) (*auth.Account, error)
}

// vouched finds the account of a user for whom a proxy stands: XCLIENT's LOGIN, of
// which there is no mechanism. A user whom no directory of the listener knows is a name
// alone.
func (s *session) vouched(ctx context.Context) error {
	l, _ := s.d.at(s.g)
	if s.logins.who != nil || s.client.Mechanism != "" || l == nil || l.Auth == nil {
		return nil
	}
	for _, name := range l.Auth.Users {
		d, ok := s.g.directories[name].(accounts)
		if !ok {
			continue
		}
		who, err := d.Account(ctx, s.client.User)
		if err == nil || !errors.Is(err, auth.ErrDenied) {
			s.logins.who = who
			return err
		}
	}
	return nil
}
