// SPDX-License-Identifier: Apache-2.0

package wasmhost

import (
	"strconv"

	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/sdk/abi"
)

// get(field, idx, b, c): octets of a text field.
func get(i *instance, s []uint64) int64 {
	field, idx := arg(s[0]), arg(s[1])
	if i.fieldDenied(field) {
		return int64(abi.ErrDenied)
	}
	if field == abi.FieldClientIP && i.hook != nil {
		return i.clientIP(s[2], s[3])
	}
	text, e := i.text(field, idx)
	if e != 0 {
		return int64(e)
	}
	return i.putString(s[2], s[3], text)
}

// getInt(field, idx): an integer field, or abi.Absent.
func getInt(i *instance, s []uint64) int64 {
	field := arg(s[0])
	if field == abi.FieldABIMinor {
		return abi.Minor
	}
	if i.hook == nil || i.fieldDenied(field) {
		return abi.Absent
	}
	return i.number(field)
}

// fieldDenied reports whether the stage lacks the grant for a field. Those of
// the host and of the stage itself are free.
func (i *instance) fieldDenied(field int) bool {
	switch field {
	case abi.FieldStage, abi.FieldABIMinor, abi.FieldHostVersion:
		return false
	}
	return i.stage.powers&readEnvelope == 0
}

func (i *instance) clientIP(b, c uint64) int64 {
	ip := i.hook.Envelope().Client.Addr.Addr()
	if !ip.IsValid() {
		return int64(abi.ErrNotFound)
	}
	i.scratch = ip.Unmap().WithZone("").AppendTo(i.scratch[:0])
	return i.put(b, c, i.scratch)
}

// text returns a text field, or why there is none.
func (i *instance) text(field, idx int) (string, abi.Errno) {
	switch field {
	case abi.FieldStage:
		return i.stage.name, 0
	case abi.FieldHostVersion:
		return present(i.stage.host.version)
	case abi.FieldClientPort, abi.FieldRcptCount, abi.FieldDeclaredSize, abi.FieldFlags, abi.FieldMessageSize,
		abi.FieldHeaderCount, abi.FieldAttempt, abi.FieldRemoteCode, abi.FieldABIMinor:
		return "", abi.ErrBadArgument
	case abi.FieldNextHop, abi.FieldRemoteText, abi.FieldLastError, abi.FieldPeerCertSHA256, abi.FieldRcptParams:
		return "", abi.ErrNotFound
	}
	if i.hook == nil {
		return i.textBeforeHook(field)
	}
	return i.envelopeText(i.hook.Envelope(), field, idx)
}

// textBeforeHook tells a field that is not there yet from one that is unknown.
func (i *instance) textBeforeHook(field int) (string, abi.Errno) {
	if _, e := i.envelopeText(&mail.Envelope{}, field, -1); e == abi.ErrUnsupported {
		return "", e
	}
	return "", abi.ErrNotFound
}

func (i *instance) envelopeText(e *mail.Envelope, field, idx int) (string, abi.Errno) {
	switch field {
	case abi.FieldSessionID:
		return present(e.Client.SessionID)
	case abi.FieldMessageID:
		return present(e.ID)
	case abi.FieldClientIP:
		return "", abi.ErrNotFound
	case abi.FieldRDNS:
		return present(e.Client.Name)
	case abi.FieldHelo:
		return present(e.Client.Helo)
	case abi.FieldTLSVersion:
		return present(e.Client.TLSVersion)
	case abi.FieldTLSCipher:
		return present(e.Client.TLSCipher)
	case abi.FieldAuthUser:
		return present(e.Client.User)
	case abi.FieldListener:
		return present(e.Client.Listener)
	case abi.FieldSender:
		return string(e.Sender), 0
	case abi.FieldOriginalSender:
		return string(e.OriginalSender), 0
	case abi.FieldSenderParams:
		return present(senderParams(e))
	case abi.FieldRcpt:
		return i.recipient(idx, func(r *mail.Recipient) mail.Address { return r.Address })
	case abi.FieldOriginalRcpt:
		return i.recipient(idx, func(r *mail.Recipient) mail.Address { return r.Original })
	}
	return "", abi.ErrUnsupported
}

func present(s string) (string, abi.Errno) {
	if s == "" {
		return "", abi.ErrNotFound
	}
	return s, 0
}

func (i *instance) recipient(idx int, of func(*mail.Recipient) mail.Address) (string, abi.Errno) {
	if i.hook == nil || !i.hook.Visible(idx) {
		return "", abi.ErrNotFound
	}
	return present(string(of(&i.hook.Envelope().Recipients[idx])))
}

// senderParams spells the parameters of MAIL that the relay acts on.
func senderParams(e *mail.Envelope) string {
	s := ""
	if e.DeclaredSize > 0 {
		s = " SIZE=" + strconv.FormatInt(e.DeclaredSize, 10)
	}
	if e.EightBit {
		s += " BODY=8BITMIME"
	}
	if e.SMTPUTF8 {
		s += " SMTPUTF8"
	}
	if s == "" {
		return ""
	}
	return s[1:]
}

// number returns an integer field, or abi.Absent.
func (i *instance) number(field int) int64 {
	e := i.hook.Envelope()
	inMessage := i.hook.Phase() == mail.PhaseMessage
	switch {
	case field == abi.FieldClientPort && e.Client.Addr.Port() != 0:
		return int64(e.Client.Addr.Port())
	case field == abi.FieldRcptCount:
		return int64(len(e.Recipients))
	case field == abi.FieldDeclaredSize && e.DeclaredSize > 0:
		return e.DeclaredSize
	case field == abi.FieldFlags:
		return flags(e)
	case field == abi.FieldHeaderCount && inMessage:
		return int64(i.hook.Header().Len())
	case field == abi.FieldMessageSize && inMessage:
		if n, err := i.hook.Size(abi.ViewMessage); err == nil {
			return n
		}
	}
	return abi.Absent
}

func flags(e *mail.Envelope) int64 {
	var f int64
	if e.SMTPUTF8 {
		f |= abi.FlagSMTPUTF8
	}
	if e.EightBit {
		f |= abi.Flag8BitMIME
	}
	return f
}
