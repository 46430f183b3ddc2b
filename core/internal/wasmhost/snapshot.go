// SPDX-License-Identifier: Apache-2.0

package wasmhost

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"sort"
	"strconv"
	"unicode/utf8"

	"github.com/postroad-mail/postroad/core/internal/pipeline"
	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/sdk/abi"
)

// A snapshot is all that a hook may see, but for the body, in one piece: what
// the host function snapshot answers, and the first line that a command reads.
// As JSON it is one object. Members that are absent, or not granted, are not in
// it; octets that are no UTF-8, and fields that are octets by nature, stand under
// their name with _b64 behind it, in base64 (RFC 4648 §4).
//
//	member           what
//	phase            name of the phase
//	arg              argument of the phase (the recipient's index, …)
//	config           the stage's config block, an object
//	stage …          the fields of get and get_int under their names in abi.json,
//	                 those without recipient: session_id, client_ip, sender, …
//	recipients       list of objects, one for each recipient that the stage sees:
//	                 index, and the fields of a recipient: rcpt, rcpt_params, …
//	headers          list of objects, with read headers: id, name ("" when the
//	                 line has no colon), value (unfolded and decoded)
//	symbols          list of objects, what stages scored: symbol, milli
//	meta             object, the notes about the message: "stage.key" to value
//	session          object, the notes about the session
//
// As TLV (u16 tag, u32 length, octets, little-endian) the tags are the numbers of
// fields, an integer being an i64, and those of abi.Snapshot…; there is no
// phase, config or meta, which a guest has by other means.

// fact is a field with its name in a snapshot.
type fact struct {
	name   string
	field  int
	number bool // an integer
	octets bool // always in base64
}

// facts are the fields without a recipient. The password is not among them: only
// the input of a command has it, in phase auth.
func facts() []fact {
	return []fact{
		{name: "abi_minor", field: abi.FieldABIMinor, number: true},
		{name: "host_version", field: abi.FieldHostVersion},
		{name: "stage", field: abi.FieldStage},
		{name: "session_id", field: abi.FieldSessionID},
		{name: "message_id", field: abi.FieldMessageID},
		{name: "protocol", field: abi.FieldProtocol},
		{name: "listener", field: abi.FieldListener},
		{name: "client_ip", field: abi.FieldClientIP},
		{name: "client_port", field: abi.FieldClientPort, number: true},
		{name: "rdns", field: abi.FieldRDNS},
		{name: "helo", field: abi.FieldHelo},
		{name: "tls_version", field: abi.FieldTLSVersion},
		{name: "tls_cipher", field: abi.FieldTLSCipher},
		{name: "peer_cert_sha256", field: abi.FieldPeerCertSHA256, octets: true},
		{name: "auth_user", field: abi.FieldAuthUser},
		{name: "auth_mechanism", field: abi.FieldAuthMechanism},
		{name: "sender", field: abi.FieldSender},
		{name: "sender_params", field: abi.FieldSenderParams},
		{name: "original_sender", field: abi.FieldOriginalSender},
		{name: "rcpt_count", field: abi.FieldRcptCount, number: true},
		{name: "declared_size", field: abi.FieldDeclaredSize, number: true},
		{name: "flags", field: abi.FieldFlags, number: true},
		{name: "message_size", field: abi.FieldMessageSize, number: true},
		{name: "header_count", field: abi.FieldHeaderCount, number: true},
		{name: "score", field: abi.FieldScore, number: true},
		{name: "tenant", field: abi.FieldTenant},
		{name: "campaign", field: abi.FieldCampaign},
		{name: "chunk_offset", field: abi.FieldChunkOffset, number: true},
		{name: "next_hop", field: abi.FieldNextHop},
		{name: "attempt", field: abi.FieldAttempt, number: true},
	}
}

// recipientFacts are the fields of a recipient.
func recipientFacts() []fact {
	return []fact{
		{name: "rcpt", field: abi.FieldRcpt},
		{name: "rcpt_params", field: abi.FieldRcptParams},
		{name: "original_rcpt", field: abi.FieldOriginalRcpt},
		{name: "route", field: abi.FieldRoute},
		{name: "outcome", field: abi.FieldOutcome},
		{name: "remote_code", field: abi.FieldRemoteCode, number: true},
		{name: "remote_text", field: abi.FieldRemoteText},
		{name: "last_error", field: abi.FieldLastError},
	}
}

// snapshot makes one of the hook at hand, in one of the formats abi.Snapshot….
func (i *instance) snapshot(format int) ([]byte, abi.Errno) {
	switch format {
	case abi.SnapshotTLV:
		return i.snapshotTLV(), 0
	case abi.SnapshotJSON:
		return i.snapshotJSON(), 0
	}
	return nil, abi.ErrUnsupported
}

// fieldText returns a text field, if the stage may see it and it is there.
func (i *instance) fieldText(field, idx int) (string, bool) {
	if i.fieldDenied(field) {
		return "", false
	}
	if field == abi.FieldClientIP {
		ip := i.hook.Envelope().Client.Addr.Addr()
		return ip.Unmap().WithZone("").String(), ip.IsValid()
	}
	s, e := i.text(field, idx)
	return s, e == 0
}

// fieldNumber returns an integer field, if the stage may see it and it is there.
func (i *instance) fieldNumber(field, idx int) (int64, bool) {
	if field == abi.FieldABIMinor {
		return abi.Minor, true
	}
	if i.fieldDenied(field) {
		return 0, false
	}
	n := i.number(field, idx)
	return n, n != abi.Absent
}

// seen returns the indexes of the recipients that the stage sees.
func (i *instance) seen() []int {
	var out []int
	if i.stage.powers&readEnvelope == 0 || i.early(abi.FieldRcpt) {
		return nil
	}
	for idx := range i.hook.Envelope().Recipients {
		if i.hook.Visible(idx) {
			out = append(out, idx)
		}
	}
	return out
}

// headerSeen returns the header fields that the stage may see.
func (i *instance) headerSeen() []mail.Field {
	if i.stage.powers&readHeaders == 0 {
		return nil
	}
	return i.hook.Header().Fields()
}

// commandJSON is the snapshot of a command, and the password of phase auth, which
// it has no other way to ask for.
func (i *instance) commandJSON() []byte {
	o := object{b: i.snapshotJSON()}
	o.b = o.b[:len(o.b)-1]
	if p, ok := i.hook.Password(); ok && i.stage.powers&readAuth != 0 {
		o.text("auth_password", string(p), true)
	}
	return append(o.b, '}')
}

func (i *instance) snapshotJSON() []byte {
	o := object{b: []byte{'{'}}
	o.text("phase", i.hook.Phase().String(), false)
	o.number("arg", int64(i.hook.Arg()))
	o.raw("config", i.stage.config)
	i.facts(&o, facts(), -1)
	i.jsonRecipients(&o)
	i.jsonHeader(&o)
	if i.stage.powers&readEnvelope != 0 {
		o.scores(i.hook.Envelope().Scores)
		o.notes("meta", i.hook.Envelope().Meta)
		o.notes("session", i.hook.Envelope().Client.Notes)
	}
	return append(o.b, '}')
}

func (i *instance) facts(o *object, fs []fact, idx int) {
	for _, f := range fs {
		if f.number {
			if n, ok := i.fieldNumber(f.field, idx); ok {
				o.number(f.name, n)
			}
		} else if s, ok := i.fieldText(f.field, idx); ok {
			o.text(f.name, s, f.octets)
		}
	}
}

func (i *instance) jsonRecipients(o *object) {
	seen := i.seen()
	if len(seen) == 0 {
		return
	}
	facts := recipientFacts()
	o.list("recipients", len(seen), func(n int, r *object) {
		r.number("index", int64(seen[n]))
		i.facts(r, facts, seen[n])
	})
}

func (i *instance) jsonHeader(o *object) {
	fields := i.headerSeen()
	if len(fields) == 0 {
		return
	}
	o.list("headers", len(fields), func(n int, r *object) {
		r.number("id", int64(fields[n].ID))
		r.text("name", fields[n].Name(), false)
		r.text("value", decode(fields[n].Value()), false)
	})
}

// object is a JSON object in the making.
type object struct{ b []byte }

func (o *object) key(name string) {
	if o.b[len(o.b)-1] != '{' {
		o.b = append(o.b, ',')
	}
	o.b = append(appendString(o.b, name), ':')
}

func (o *object) raw(name string, json []byte) {
	o.key(name)
	o.b = append(o.b, json...)
}

func (o *object) number(name string, n int64) {
	o.key(name)
	o.b = strconv.AppendInt(o.b, n, 10)
}

// text adds a string, or with octets, or when it is no UTF-8, its base64.
func (o *object) text(name, s string, octets bool) {
	if octets || !utf8.ValidString(s) {
		o.key(name + "_b64")
		o.b = append(base64.StdEncoding.AppendEncode(append(o.b, '"'), []byte(s)), '"')
		return
	}
	o.key(name)
	o.b = appendString(o.b, s)
}

// list adds a list of n objects.
func (o *object) list(name string, n int, fill func(n int, o *object)) {
	o.key(name)
	o.b = append(o.b, '[')
	for k := range n {
		if k > 0 {
			o.b = append(o.b, ',')
		}
		o.b = append(o.b, '{')
		fill(k, o)
		o.b = append(o.b, '}')
	}
	o.b = append(o.b, ']')
}

func (o *object) scores(scores []mail.Score) {
	if len(scores) == 0 {
		return
	}
	o.list("symbols", len(scores), func(n int, r *object) {
		r.text("symbol", scores[n].Symbol, false)
		r.number("milli", int64(scores[n].Milli))
	})
}

// notes adds a map, in the order of its keys.
func (o *object) notes(name string, m map[string]string) {
	if len(m) == 0 {
		return
	}
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	o.key(name)
	o.b = append(o.b, '{')
	for _, k := range keys {
		o.text(k, m[k], false)
	}
	o.b = append(o.b, '}')
}

// appendString appends s as a JSON string. Octets that are no UTF-8 become
// U+FFFD: only names of notes can have them here.
func appendString(b []byte, s string) []byte {
	q, err := json.Marshal(s)
	if err != nil {
		return append(b, `""`...)
	}
	return append(b, q...)
}

func (i *instance) snapshotTLV() []byte {
	b, ofRecipient := i.factsTLV(nil, facts(), -1), recipientFacts()
	for _, idx := range i.seen() {
		r := appendTLV(nil, abi.SnapshotIndex, binary.LittleEndian.AppendUint32(nil, uint32(idx)))
		b = appendTLV(b, abi.SnapshotRecipient, i.factsTLV(r, ofRecipient, idx))
	}
	for _, f := range i.headerSeen() {
		b = appendTLV(b, abi.SnapshotHeader, f.Raw)
	}
	if i.stage.powers&readEnvelope == 0 {
		return b
	}
	for _, s := range i.hook.Envelope().Scores {
		v := binary.LittleEndian.AppendUint32(nil, uint32(s.Milli))
		b = appendTLV(b, abi.SnapshotSymbol, append(v, s.Symbol...))
	}
	return b
}

func (i *instance) factsTLV(b []byte, fs []fact, idx int) []byte {
	for _, f := range fs {
		if f.number {
			if n, ok := i.fieldNumber(f.field, idx); ok {
				b = appendTLV(b, f.field, binary.LittleEndian.AppendUint64(nil, uint64(n)))
			}
		} else if s, ok := i.fieldText(f.field, idx); ok {
			b = appendTLV(b, f.field, []byte(s))
		}
	}
	return b
}

// readable returns the octets that the hook's message has for a command, as far
// as the grant goes: the header section and its empty line without read body, an
// empty header section without read headers.
func (i *instance) readable() input {
	h := i.hook
	in := input{hook: h}
	switch h.Phase() {
	case mail.PhaseMessage, mail.PhaseQueued, mail.PhasePredeliver:
		in.body = i.stage.powers&readBody != 0
	case mail.PhaseHeaders:
	default:
		return in
	}
	if i.stage.powers&readHeaders != 0 {
		in.head = h.Header().AppendTo(nil)
	}
	if len(in.head) > 0 || in.body {
		in.head = endHeader(in.head)
	}
	return in
}

// endHeader makes sure that a header section ends with its empty line.
func endHeader(head []byte) []byte {
	h := mail.ParseHeader(head)
	h.End()
	return h.AppendTo(nil)
}

// input is what a command reads of a message, streamed from where it is.
type input struct {
	hook *pipeline.Hook
	head []byte
	body bool
	off  int64 // read of the body
}

// read copies the next octets into p and returns their number, 0 at the end.
func (in *input) read(p []byte) (int, error) {
	if len(in.head) > 0 {
		n := copy(p, in.head)
		in.head = in.head[n:]
		return n, nil
	}
	if !in.body {
		return 0, nil
	}
	n, err := in.hook.ReadMessage(pipeline.ViewBody, p, in.off)
	in.off += int64(n)
	return n, err
}
