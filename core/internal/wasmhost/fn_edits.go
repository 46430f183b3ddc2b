// SPDX-License-Identifier: Apache-2.0

package wasmhost

import (
	"encoding/binary"

	"github.com/postroad-mail/postroad/core/internal/grant"
	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/sdk/abi"
)

// spend counts an edit of n octets against the hook's share of the journal.
func (i *instance) spend(n int) bool {
	i.used.edits++
	i.used.editOctets += n
	return i.used.edits <= maxEdits && i.used.editOctets <= maxEditOctets
}

// enhanced unpacks class<<20 | subject<<10 | detail (RFC 3463).
func enhanced(stack uint64) mail.Enhanced {
	v := uint32(stack)
	return mail.Enhanced{int(v >> 20 & 0xfff), int(v >> 10 & 0x3ff), int(v & 0x3ff)}
}

// reply(code, enh, p, n): the reply that goes with this hook's verdict.
func reply(i *instance, s []uint64) int64 {
	text := i.view(s[2], s[3])
	if !i.spend(len(text)) {
		return int64(abi.ErrLimit)
	}
	return i.errno("reply", i.hook.SetReply(arg(s[0]), enhanced(s[1]), string(text)))
}

// rcptVerdict(idx, verdict, code, enh, p, n): a verdict for one recipient.
func rcptVerdict(i *instance, s []uint64) int64 {
	text := i.view(s[4], s[5])
	if !i.spend(len(text)) {
		return int64(abi.ErrLimit)
	}
	var r *mail.Reply
	if code := arg(s[2]); code != 0 {
		r = mail.NewReply(code, enhanced(s[3]), string(text))
	}
	return i.errno("rcpt_verdict", i.hook.SetRecipientVerdict(arg(s[0]), mail.Verdict(arg(s[1])), r))
}

// address copies an address in. What follows a NUL is reserved.
func (i *instance) address(p, n uint64) (mail.Address, abi.Errno) {
	b := i.view(p, n)
	switch {
	case len(b) > mail.MaxPath+2:
		return "", abi.ErrBadArgument
	case hasNUL(b):
		return "", abi.ErrUnsupported
	case !i.spend(len(b)):
		return "", abi.ErrLimit
	}
	return mail.Address(b), 0
}

func hasNUL(b []byte) bool {
	for _, c := range b {
		if c == 0 {
			return true
		}
	}
	return false
}

// rcptAdd(p, n): a new recipient.
func rcptAdd(i *instance, s []uint64) int64 {
	a, e := i.address(s[0], s[1])
	if e != 0 {
		return int64(e)
	}
	idx, err := i.hook.AddRecipient(a)
	if err != nil {
		return i.errno("rcpt_add", err)
	}
	return int64(idx)
}

// rcptSet(idx, p, n): another address for a recipient.
func rcptSet(i *instance, s []uint64) int64 {
	a, e := i.address(s[1], s[2])
	if e != 0 {
		return int64(e)
	}
	return i.errno("rcpt_set", i.hook.SetRecipient(arg(s[0]), a))
}

// rcptDel(idx): take a recipient out.
func rcptDel(i *instance, s []uint64) int64 {
	if !i.spend(0) {
		return int64(abi.ErrLimit)
	}
	return i.errno("rcpt_del", i.hook.RemoveRecipient(arg(s[0])))
}

// senderSet(p, n): another envelope sender.
func senderSet(i *instance, s []uint64) int64 {
	a, e := i.address(s[0], s[1])
	if e != 0 {
		return int64(e)
	}
	return i.errno("sender_set", i.hook.SetSender(a))
}

// metaGet(scope, kp, kn, b, c): a note.
func metaGet(i *instance, s []uint64) int64 {
	key := i.view(s[1], s[2])
	if len(key) > maxKey {
		return int64(abi.ErrNotFound)
	}
	v, ok := i.hook.Meta(arg(s[0]), string(key))
	if !ok {
		return int64(abi.ErrNotFound)
	}
	return i.putString(s[3], s[4], v)
}

// metaSet(scope, kp, kn, vp, vn): a note of this stage's.
func metaSet(i *instance, s []uint64) int64 {
	key, value := i.view(s[1], s[2]), i.view(s[3], s[4])
	switch {
	case len(key) > maxKey:
		return int64(abi.ErrBadArgument)
	case len(value) > maxValue || !i.spend(len(key)+len(value)):
		return int64(abi.ErrLimit)
	}
	e := i.hook.Envelope()
	i.charge(int64(len(e.Meta)+len(e.Client.Notes)) * chargePerItem)
	return i.errno("meta_set", i.hook.SetMeta(arg(s[0]), string(key), string(value)))
}

// routeSet(idx, p, n): one TLV with a route's name or a next hop.
func routeSet(i *instance, s []uint64) int64 {
	tag, value, ok := tlv(i.view(s[1], s[2]))
	if !ok || len(value) == 0 || len(value) > maxNameLen {
		return int64(abi.ErrBadArgument)
	}
	if !i.spend(len(value)) {
		return int64(abi.ErrLimit)
	}
	i.charge(int64(len(i.hook.Envelope().Recipients)) * chargePerItem)
	g := &i.stage.grant
	switch tag {
	case abi.RouteName:
		if !grant.Allows(g.Routes, string(value)) {
			return int64(abi.ErrDenied)
		}
		return i.errno("route_set", i.hook.SetRoute(arg(s[0]), string(value), ""))
	case abi.RouteNextHop:
		return i.errno("route_set", i.setHop(arg(s[0]), string(value)))
	}
	return int64(abi.ErrUnsupported)
}

// tlv reads the first known element of a TLV sequence: u16 tag, u32 length,
// octets, little-endian. Unknown tags are passed over.
func tlv(b []byte) (tag int, value []byte, ok bool) {
	for len(b) >= 6 {
		tag = int(binary.LittleEndian.Uint16(b))
		n := binary.LittleEndian.Uint32(b[2:])
		if uint64(n) > uint64(len(b)-6) {
			return 0, nil, false
		}
		value, b = b[6:6+n], b[6+n:]
		if tag == abi.RouteName || tag == abi.RouteNextHop {
			return tag, value, true
		}
	}
	return 0, nil, false
}
