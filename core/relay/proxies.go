// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"slices"

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
