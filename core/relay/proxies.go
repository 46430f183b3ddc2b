// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"slices"

	"github.com/postroad-mail/postroad/core/internal/config"
)

// sameProxies reports whether the word of the same hosts is believed.
func sameProxies(a, b *config.Proxies) bool {
	return slices.Equal(a.Protocol, b.Protocol) && slices.Equal(a.XClient, b.XClient) && a.Login == b.Login
}
