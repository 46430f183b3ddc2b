// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/postroad-mail/postroad/core/mail"
)

// received returns the value of our Received field (RFC 5321 §4.4): from whom,
// by whom, with which protocol, which id, and for whom when it is one only, for
// two would tell each of the other.
func received(env *mail.Envelope, hostname string, now time.Time) string {
	var b strings.Builder
	c := &env.Client
	if c.Addr.IsValid() {
		fmt.Fprintf(&b, "from %s (%s) ", token(c.Helo), tcpInfo(c.Name, c.Addr.Addr()))
	}
	fmt.Fprintf(&b, "by %s with %s id %s", token(hostname), token(c.Protocol), env.ID)
	if to := onlyRecipient(env); to != "" && to.ASCII() {
		fmt.Fprintf(&b, " for %s", to.Path())
	}
	b.WriteString("; ")
	b.WriteString(now.Format("Mon, 2 Jan 2006 15:04:05 -0700"))
	return b.String()
}

func tcpInfo(name string, ip netip.Addr) string {
	literal := "[" + ip.Unmap().String() + "]"
	if ip.Unmap().Is6() {
		literal = "[IPv6:" + ip.WithZone("").String() + "]"
	}
	if name == "" {
		return literal
	}
	return token(name) + " " + literal
}

func onlyRecipient(env *mail.Envelope) mail.Address {
	if env.Live() != 1 {
		return ""
	}
	for i := range env.Recipients {
		if r := &env.Recipients[i]; !r.Removed {
			return r.Address
		}
	}
	return ""
}

// token makes s, which the client may have chosen, fit for a header: what is
// not printable ASCII, or would open a comment, becomes "?".
func token(s string) string {
	if s == "" {
		return "unknown"
	}
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r >= 0x7f || r == utf8.RuneError || strings.ContainsRune("()<>;\\\"", r) {
			return '?'
		}
		return r
	}, s)
}
