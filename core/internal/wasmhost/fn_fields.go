// SPDX-License-Identifier: Apache-2.0

package wasmhost

import (
	"strconv"

	"github.com/postroad-mail/postroad/core/internal/pipeline"
	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/sdk/abi"
)

// get(field, idx, b, c): octets of a text field.
func get(i *instance, s []uint64) int64 {
	field, idx := arg(s[0]), arg(s[1])
	if i.fieldDenied(field) {
		return int64(abi.ErrDenied)
	}
	if i.hook != nil {
		switch field {
		case abi.FieldClientIP:
			return i.clientIP(s[2], s[3])
		case abi.FieldAuthPassword:
			return i.password(s[2], s[3])
		}
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
	if i.fieldDenied(field) {
		i.used.denied = i.stage.host.imports.functions["get_int"]
		return abi.Absent
	}
	if i.hook == nil {
		return abi.Absent
	}
	return i.number(field, arg(s[1]))
}

// fieldDenied reports whether the stage lacks the grant for a field. Those of
// the host and of the stage itself are free.
func (i *instance) fieldDenied(field int) bool {
	switch field {
	case abi.FieldStage, abi.FieldABIMinor, abi.FieldHostVersion:
		return false
	case abi.FieldAuthPassword:
		return i.stage.powers&readAuth == 0
	}
	return i.stage.powers&readEnvelope == 0
}

// password is there in phase auth alone.
func (i *instance) password(b, c uint64) int64 {
	p, ok := i.hook.Password()
	if !ok {
		i.view(b, c)
		return int64(abi.ErrNotFound)
	}
	return i.put(b, c, p)
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
	case abi.FieldClientPort, abi.FieldRcptCount, abi.FieldDeclaredSize, abi.FieldFlags, abi.FieldMessageSize, abi.FieldHeaderCount,
		abi.FieldScore, abi.FieldChunkOffset, abi.FieldAttempt, abi.FieldRemoteCode, abi.FieldABIMinor:
		return "", abi.ErrBadArgument
	case abi.FieldAuthPassword:
		return "", abi.ErrNotFound
	}
	if i.hook == nil {
		return i.textBeforeHook(field)
	}
	if i.early(field) {
		return "", abi.ErrNotFound
	}
	if field >= abi.FieldNextHop && field <= abi.FieldRoute {
		return i.deliveryText(field, idx)
	}
	return i.envelopeText(i.hook.Envelope(), field, idx)
}

// early reports whether a field is one of the message, or of the client, and
// there is none yet.
func (i *instance) early(field int) bool {
	switch i.hook.Phase() {
	case mail.PhaseConnect, mail.PhaseTLS, mail.PhaseHelo, mail.PhaseAuth:
		return field == abi.FieldMessageID || field >= abi.FieldSender && field <= abi.FieldCampaign
	case mail.PhaseTick:
		return field <= abi.FieldCampaign
	}
	return false
}

// textBeforeHook tells a field that is not there yet from one that is unknown.
func (i *instance) textBeforeHook(field int) (string, abi.Errno) {
	if field >= abi.FieldNextHop && field <= abi.FieldRoute {
		return "", abi.ErrNotFound
	}
	if _, e := i.envelopeText(&mail.Envelope{}, field, -1); e == abi.ErrUnsupported {
		return "", e
	}
	return "", abi.ErrNotFound
}

func (i *instance) envelopeText(e *mail.Envelope, field, idx int) (string, abi.Errno) {
	switch field {
	case abi.FieldMessageID:
		return present(e.ID)
	case abi.FieldSender:
		return string(e.Sender), 0
	case abi.FieldOriginalSender:
		return string(e.OriginalSender), 0
	case abi.FieldSenderParams:
		return present(senderParams(e))
	case abi.FieldTenant:
		return present(e.Tenant)
	case abi.FieldCampaign:
		return present(e.Campaign)
	case abi.FieldRcpt:
		return i.recipient(idx, func(r *mail.Recipient) string { return string(r.Address) })
	case abi.FieldOriginalRcpt:
		return i.recipient(idx, func(r *mail.Recipient) string { return string(r.Original) })
	case abi.FieldRcptParams:
		return i.recipient(idx, func(r *mail.Recipient) string { return r.Params })
	}
	return clientText(&e.Client, field)
}

func clientText(c *mail.Client, field int) (string, abi.Errno) {
	switch field {
	case abi.FieldSessionID:
		return present(c.SessionID)
	case abi.FieldProtocol:
		return present(c.Protocol)
	case abi.FieldAuthMechanism:
		return present(c.Mechanism)
	case abi.FieldClientIP:
		return "", abi.ErrNotFound
	case abi.FieldRDNS:
		return present(c.Name)
	case abi.FieldHelo:
		return present(c.Helo)
	case abi.FieldTLSVersion:
		return present(c.TLSVersion)
	case abi.FieldTLSCipher:
		return present(c.TLSCipher)
	case abi.FieldPeerCertSHA256:
		return present(c.PeerCert)
	case abi.FieldAuthUser:
		return present(c.User)
	case abi.FieldListener:
		return present(c.Listener)
	}
	return "", abi.ErrUnsupported
}

// deliveryText returns a field of the delivery attempt.
func (i *instance) deliveryText(field, idx int) (string, abi.Errno) {
	d := i.hook.Delivery()
	if d == nil {
		return "", abi.ErrNotFound
	}
	if field == abi.FieldNextHop {
		return present(d.NextHop)
	}
	if !i.hook.Visible(idx) {
		return "", abi.ErrNotFound
	}
	now, done := d.Outcomes[idx]
	last, before := d.Last[idx]
	switch {
	case field == abi.FieldRoute:
		return present(routeOf(&i.hook.Envelope().Recipients[idx], d))
	case field == abi.FieldRemoteText && done && now.Remote:
		return now.Reply.Text, 0
	case field == abi.FieldOutcome && done:
		return now.Status.String(), 0
	case field == abi.FieldLastError && before:
		return lastError(&last), 0
	}
	return "", abi.ErrNotFound
}

func routeOf(r *mail.Recipient, d *pipeline.Delivery) string {
	if r.Route != "" {
		return r.Route
	}
	return d.Route
}

// lastError says in a line what became of an attempt.
func lastError(o *mail.Outcome) string {
	if o.NextHop == "" {
		return o.Reply.Line()
	}
	return o.NextHop + ": " + o.Reply.Line()
}

func present(s string) (string, abi.Errno) {
	if s == "" {
		return "", abi.ErrNotFound
	}
	return s, 0
}

func (i *instance) recipient(idx int, of func(*mail.Recipient) string) (string, abi.Errno) {
	if i.hook == nil || !i.hook.Visible(idx) {
		return "", abi.ErrNotFound
	}
	return present(of(&i.hook.Envelope().Recipients[idx]))
}

// senderParams returns the parameters of MAIL as the client gave them, or, where
// there was none, those that the relay acts on.
func senderParams(e *mail.Envelope) string {
	if e.Params != "" {
		return e.Params
	}
	s := ""
	if e.DeclaredSize > 0 {
		s = " SIZE=" + strconv.FormatInt(e.DeclaredSize, 10)
	}
	switch {
	case e.Binary:
		s += " BODY=BINARYMIME"
	case e.EightBit:
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

// takeSnapshot is snapshot(fmt, b, c): all that get tells at once.
func takeSnapshot(i *instance, s []uint64) int64 {
	if i.stage.powers&readEnvelope == 0 {
		return int64(abi.ErrDenied)
	}
	data, e := i.snapshot(arg(s[0]))
	if e != 0 {
		return int64(e)
	}
	i.charge(int64(len(data)) * chargePerOctet)
	return i.put(s[1], s[2], data)
}

// number returns an integer field, or abi.Absent.
func (i *instance) number(field, idx int) int64 {
	if i.early(field) && field != abi.FieldClientPort {
		return abi.Absent
	}
	e := i.hook.Envelope()
	switch field {
	case abi.FieldClientPort:
		return positive(int64(e.Client.Addr.Port()))
	case abi.FieldRcptCount:
		return int64(len(e.Recipients))
	case abi.FieldDeclaredSize:
		return positive(e.DeclaredSize)
	case abi.FieldFlags:
		return flags(e)
	case abi.FieldScore:
		i.charge(int64(len(e.Scores)))
		return e.Score()
	case abi.FieldAttempt, abi.FieldRemoteCode:
		return i.deliveryNumber(field, idx)
	}
	return i.contentNumber(field)
}

// positive is what a number means that is 0 where it is unknown.
func positive(n int64) int64 {
	if n <= 0 {
		return abi.Absent
	}
	return n
}

// deliveryNumber returns a field of the delivery attempt.
func (i *instance) deliveryNumber(field, idx int) int64 {
	d := i.hook.Delivery()
	if d == nil {
		return abi.Absent
	}
	if field == abi.FieldAttempt {
		return positive(int64(d.Attempt))
	}
	if o, ok := d.Outcomes[idx]; ok && o.Remote && i.hook.Visible(idx) {
		return int64(o.Reply.Code)
	}
	return abi.Absent
}

// contentNumber returns a field of the message's content.
func (i *instance) contentNumber(field int) int64 {
	switch {
	case field == abi.FieldHeaderCount && hasHeader(i.hook.Phase()):
		return int64(i.hook.Header().Len())
	case field == abi.FieldMessageSize:
		if n, err := i.hook.Size(abi.ViewMessage); err == nil {
			return n
		}
	case field == abi.FieldChunkOffset && i.hook.Phase() == mail.PhaseBody:
		return i.hook.ChunkOffset()
	}
	return abi.Absent
}

// hasHeader reports whether hdr_find works in a phase.
func hasHeader(p mail.Phase) bool {
	switch p {
	case mail.PhaseHeaders, mail.PhaseBody, mail.PhaseMessage, mail.PhaseQueued,
		mail.PhaseRoute, mail.PhasePredeliver, mail.PhaseResult, mail.PhaseBounce:
		return true
	}
	return false
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
