// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"net/netip"
	"strings"
	"time"

	"github.com/postroad-mail/postroad/core/mail"
)

// received returns the value of our Received field (RFC 5321 §4.4): from whom,
// by whom, with which protocol, which id, and for whom when it is one only, for
// two would tell each of the other.
func received(env *mail.Envelope, hostname string, now time.Time) string {
	b := make([]byte, 0, 256)
	c := &env.Client
	if c.Addr.IsValid() {
		b = append(b, "from "...)
		b = appendToken(b, c.Helo)
		b = append(b, " ("...)
		b = appendTCPInfo(b, c.Name, c.Addr.Addr().Unmap())
		b = append(b, ") "...)
	}
	b = append(b, "by "...)
	b = appendToken(b, hostname)
	b = append(b, " with "...)
	b = appendToken(b, c.Protocol)
	b = append(b, " id "...)
	b = append(b, env.ID...)
	if to := onlyRecipient(env); to != "" && to.ASCII() {
		b = append(b, " for <"...)
		b = append(b, to...)
		b = append(b, '>')
	}
	if env.MTPriority { // RFC 6710
		b = append(append(b, " PRIORITY "...), mail.FormatMTPriority(env.Priority)...)
	}
	b = append(b, "; "...)
	return string(now.AppendFormat(b, "Mon, 2 Jan 2006 15:04:05 -0700"))
}

// appendTCPInfo appends the verified name, if any, and the address literal.
func appendTCPInfo(b []byte, name string, ip netip.Addr) []byte {
	if name != "" {
		b = append(appendToken(b, name), ' ')
	}
	b = append(b, '[')
	if ip.Is6() {
		b = append(b, "IPv6:"...)
	}
	return append(ip.WithZone("").AppendTo(b), ']')
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

// appendToken appends s, which the client may have chosen, made fit for a
// header: what is not printable ASCII, or would open a comment, becomes "?".
func appendToken(b []byte, s string) []byte {
	if s == "" {
		return append(b, "unknown"...)
	}
	for _, r := range s {
		if r <= ' ' || r >= 0x7f || strings.ContainsRune("()<>;\\\"", r) {
			r = '?'
		}
		b = append(b, byte(r))
	}
	return b
}
