// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/postroad-mail/postroad/core/mail"
)

// Records are a version octet and then fields in a fixed order: numbers as
// varints, strings and octets with their length in front, times as nanoseconds
// since 1970 (0 for none), truths as bits. A record must be used up to its last
// octet; a change of the layout is a new version. Those before are still read.
const (
	holdVersion       = 1
	suspensionVersion = 1
	stateVersion      = 3
	envelopeVersion   = 4
)

// ErrDamaged is in the chain of the error for a record that cannot be read.
var ErrDamaged = errors.New("damaged record")

const (
	maxText       = 1000    // octets of a reply or reason that are kept
	maxCode       = 999     // of a reply, or of a part of an enhanced status code
	maxRecipients = 1 << 20 // sanity bound of the decoder
)

// record is an envelope as it is stored.
type record struct {
	env    *mail.Envelope
	header int   // octets of the header in the content record
	body   int64 // octets of the body, wherever it is
	onFile bool
}

const (
	flagUTF8 = 1 << iota
	flagEightBit
	flagAuthenticated
	flagOnFile
	flagNoDSN
	flagReturnFull // since version 3, with the next two
	flagReturnHeaders
	flagEnvelopeID
)

const (
	flagRemoved = 1 << iota
	flagSameOriginal
	flagRouted
	flagParams // since version 2
	flagNotify // since version 3, with the next
	flagORCPT
	flagValidSince // since version 4

	flagOutside = 1 << 7 // the next hop must have a public address; without it, as before there was one, it need not
)

const (
	flagRemote = 1 << iota
	flagWarned // since version 2
)

func appendEnvelope(b []byte, r *record) []byte {
	e := r.env
	b = append(b, envelopeVersion, bits(e.SMTPUTF8, e.EightBit, e.Client.Authenticated, r.onFile, e.NoDSN,
		e.Return == mail.ReturnFull, e.Return == mail.ReturnHeaders, e.EnvelopeID != ""))
	b = binary.AppendUvarint(b, uint64(r.header))
	b = binary.AppendUvarint(b, uint64(r.body))
	b = appendTime(b, e.Received)
	b = binary.AppendVarint(b, e.DeclaredSize)
	b = appendString(b, string(e.Sender))
	b = appendString(b, string(e.OriginalSender))
	b = appendString(b, e.Tenant)
	b = appendString(b, e.Campaign)
	b = appendClient(b, &e.Client)
	b = binary.AppendUvarint(b, uint64(len(e.Recipients)))
	for i := range e.Recipients {
		b = appendRecipient(b, &e.Recipients[i])
	}
	b = appendMore(appendMeta(b, e.Meta), e)
	if e.EnvelopeID != "" {
		b = appendString(b, e.EnvelopeID)
	}
	return appendExtensions(b, e)
}

func appendClient(b []byte, c *mail.Client) []byte {
	addr, _ := c.Addr.AppendBinary(make([]byte, 0, 32)) // never fails
	b = appendString(b, string(addr))
	for _, s := range [...]string{c.Name, c.Helo, c.Protocol, c.TLSVersion, c.TLSCipher, c.User, c.Listener, c.SessionID} {
		b = appendString(b, s)
	}
	return b
}

func appendRecipient(b []byte, r *mail.Recipient) []byte {
	routed := r.Route != "" || r.NextHop != ""
	flags := bits(r.Removed, r.Original == r.Address, routed, r.Params != "", r.Notify != 0, r.ORCPT != "", r.ValidSince.Given())
	if r.Outside {
		flags |= flagOutside
	}
	b = append(b, flags)
	b = appendString(b, string(r.Address))
	if r.Original != r.Address {
		b = appendString(b, string(r.Original))
	}
	if routed {
		b = appendString(b, r.Route)
		b = appendString(b, r.NextHop)
	}
	if r.Params != "" {
		b = appendString(b, r.Params)
	}
	return appendWishes(b, r)
}

// appendWishes appends which reports a recipient's sender wants, and RRVS.
func appendWishes(b []byte, r *mail.Recipient) []byte {
	if r.Notify != 0 {
		b = append(b, byte(r.Notify))
	}
	if r.ORCPT != "" {
		b = appendString(b, r.ORCPT)
	}
	if r.ValidSince.Given() {
		b = append(appendTime(b, r.ValidSince.At), bits(r.ValidSince.Continue))
	}
	return b
}

func appendMeta(b []byte, meta map[string]string) []byte {
	b = binary.AppendUvarint(b, uint64(len(meta)))
	if len(meta) == 0 {
		return b
	}
	for _, k := range slices.Sorted(maps.Keys(meta)) {
		b = appendString(b, k)
		b = appendString(b, meta[k])
	}
	return b
}

// readEnvelope decodes an envelope record. The id is the key's.
func readEnvelope(id string, b []byte) (*record, error) {
	return newDecoder(b, envelopeVersion).envelope(id)
}

// skimEnvelope checks an envelope record as readEnvelope does, but keeps only what
// newEntry asks for.
func skimEnvelope(id string, b []byte) (*record, error) {
	d := newDecoder(b, envelopeVersion)
	d.skim = true
	return d.envelope(id)
}

func (d *decoder) envelope(id string) (*record, error) {
	flags := d.byte()
	r := &record{env: &mail.Envelope{ID: id}, onFile: flags&flagOnFile != 0}
	e := r.env
	r.header = d.count(math.MaxInt32)
	r.body = int64(d.count(math.MaxInt64))
	e.SMTPUTF8, e.EightBit = flags&flagUTF8 != 0, flags&flagEightBit != 0
	e.Received = d.time()
	e.DeclaredSize = d.varint()
	e.Sender = mail.Address(d.text())
	e.OriginalSender = mail.Address(d.string())
	e.Tenant = d.text()
	e.Campaign = d.text()
	e.Client = d.client()
	e.Client.Authenticated = flags&flagAuthenticated != 0
	e.Recipients = d.recipients()
	e.Meta = d.meta()
	if d.version > 1 {
		e.NoDSN = flags&flagNoDSN != 0
		d.more(e)
	}
	if d.version > 2 {
		d.returns(e, flags)
	}
	if d.version > 3 {
		d.extensions(e)
	}
	return r, d.end("envelope")
}

// returns reads what version 3 added to an envelope.
func (d *decoder) returns(e *mail.Envelope, flags byte) {
	switch flags & (flagReturnFull | flagReturnHeaders) {
	case 0:
	case flagReturnFull:
		e.Return = mail.ReturnFull
	case flagReturnHeaders:
		e.Return = mail.ReturnHeaders
	default:
		d.fail("RET is FULL and HDRS")
	}
	if flags&flagEnvelopeID != 0 {
		e.EnvelopeID = d.string()
	}
}

func appendState(b []byte, s *State) []byte {
	b = append(b, stateVersion, byte(s.Status), bits(s.Last.Remote, s.Warned))
	b = binary.AppendUvarint(b, uint64(s.Attempts))
	b = appendTime(b, s.Next)
	b = appendTime(b, s.FirstTry)
	r := &s.Last.Reply
	for _, n := range [...]int{int(s.Last.Status), r.Code, r.Enhanced[0], r.Enhanced[1], r.Enhanced[2]} {
		b = binary.AppendUvarint(b, uint64(min(max(n, 0), maxCode)))
	}
	b = appendString(b, cut(r.Text))
	b = appendString(b, cut(s.Last.NextHop))
	b = appendString(b, cut(s.Last.Address))
	b = appendString(b, cut(s.Last.TLS))
	if s.Warned {
		b = appendTime(b, s.WarnedAt)
	}
	return b
}

// readState decodes the state of recipient number rcpt.
func readState(rcpt int, b []byte) (State, error) {
	return newDecoder(b, stateVersion).state(rcpt)
}

// skimState checks a state record as readState does, but keeps only what slot.load
// asks for.
func skimState(rcpt int, b []byte) (State, error) {
	d := newDecoder(b, stateVersion)
	d.skim = true
	return d.state(rcpt)
}

func (d *decoder) state(rcpt int) (State, error) {
	s := State{Status: d.status(d.byte())}
	flags := d.byte()
	s.Last.Remote = flags&flagRemote != 0
	s.Warned = d.version > 1 && flags&flagWarned != 0
	s.Last.Recipient = rcpt
	s.Attempts = d.count(math.MaxUint16)
	s.Next = d.time()
	s.FirstTry = d.time()
	s.Last.Status = d.status(byte(d.count(math.MaxUint8)))
	s.Last.Reply.Code = d.count(maxCode)
	for i := range s.Last.Reply.Enhanced {
		s.Last.Reply.Enhanced[i] = d.count(maxCode)
	}
	s.Last.Reply.Text = d.string()
	s.Last.NextHop = d.string()
	s.Last.Address = d.string()
	s.Last.TLS = d.string()
	if s.Warned && d.version > 2 {
		s.WarnedAt = d.time()
	}
	return s, d.end("recipient state")
}

func appendHold(b []byte, h *Hold) []byte {
	b = append(b, holdVersion)
	b = appendString(b, h.Kind)
	b = appendString(b, cut(h.Reason))
	b = appendString(b, cut(h.By))
	b = appendTime(b, h.Until)
	return appendTime(b, h.Since)
}

func readHold(b []byte) (*Hold, error) {
	d := newDecoder(b, holdVersion)
	h := &Hold{Kind: d.string(), Reason: d.string(), By: d.string(), Until: d.time(), Since: d.time()}
	if h.Kind != Quarantine && h.Kind != OnHold {
		d.fail("hold of kind %q", h.Kind)
	}
	return h, d.end("hold")
}

func bits(truths ...bool) (b byte) {
	for i, t := range truths {
		if t {
			b |= 1 << i
		}
	}
	return b
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(b, 0)
	}
	return binary.AppendVarint(b, nanos(t))
}

// nanos is t.UnixNano for every t: times outside its range become its ends.
func nanos(t time.Time) int64 {
	switch year := t.Year(); {
	case year < 1678:
		return math.MinInt64
	case year > 2261:
		return math.MaxInt64
	}
	return t.UnixNano()
}

// cut returns at most maxText octets of s, and no half character.
func cut(s string) string {
	if len(s) <= maxText {
		return s
	}
	n := maxText
	for n > maxText-utf8.UTFMax && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// decoder reads fields off the front of b. After the first fault it yields
// zero values and remembers the fault.
type decoder struct {
	b       []byte
	version byte
	skim    bool // texts are passed over, but for those that text reads
	err     error
}

// newDecoder reads the version, which is newest at most.
func newDecoder(b []byte, newest byte) *decoder {
	d := &decoder{b: b}
	d.version = d.byte()
	if d.err == nil && (d.version < 1 || d.version > newest) {
		d.fail("version %d, this program knows %d", d.version, newest)
	}
	return d
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: "+format, append([]any{ErrDamaged}, args...)...)
	}
	d.b = nil
}

// end returns the fault, if any, naming the record; left-over octets are one.
func (d *decoder) end(what string) error {
	if d.err == nil && len(d.b) > 0 {
		d.fail("%d octets too many", len(d.b))
	}
	if d.err != nil {
		return fmt.Errorf("%s: %w", what, d.err)
	}
	return nil
}

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.fail("too short")
		return 0
	}
	c := d.b[0]
	d.b = d.b[1:]
	return c
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail("bad number")
		return 0
	}
	d.b = d.b[n:]
	return v
}

// count reads a number from 0 to limit.
func (d *decoder) count(limit uint64) int {
	v, n := binary.Uvarint(d.b)
	if n <= 0 || v > limit {
		d.fail("bad number")
		return 0
	}
	d.b = d.b[n:]
	return int(v)
}

// string reads a text, or passes over it.
func (d *decoder) string() string {
	if b := d.octets(); !d.skim {
		return string(b)
	}
	return ""
}

// text reads a text.
func (d *decoder) text() string { return string(d.octets()) }

// octets returns a text where it lies.
func (d *decoder) octets() []byte {
	n := d.count(math.MaxInt32)
	if n > len(d.b) {
		d.fail("text of %d octets where %d are left", n, len(d.b))
		return nil
	}
	b := d.b[:n]
	d.b = d.b[n:]
	return b
}

func (d *decoder) time() time.Time {
	if ns := d.varint(); ns != 0 {
		return time.Unix(0, ns).UTC()
	}
	return time.Time{}
}

func (d *decoder) status(b byte) mail.Status {
	if mail.Status(b) > mail.Failed {
		d.fail("status %d", b)
		return mail.Deferred
	}
	return mail.Status(b)
}

func (d *decoder) client() (c mail.Client) {
	var addr netip.AddrPort
	if err := addr.UnmarshalBinary(d.octets()); err != nil {
		d.fail("client address")
		return c
	}
	c.Addr = addr
	for _, s := range [...]*string{&c.Name, &c.Helo, &c.Protocol, &c.TLSVersion, &c.TLSCipher, &c.User, &c.Listener, &c.SessionID} {
		*s = d.string()
	}
	return c
}

// recipients allocates no more than the octets that are left can fill: a
// recipient takes two at least.
func (d *decoder) recipients() []mail.Recipient {
	n := d.count(maxRecipients)
	if n > len(d.b)/2 {
		d.fail("%d recipients in %d octets", n, len(d.b))
		return nil
	}
	rs := make([]mail.Recipient, n)
	for i := range rs {
		d.recipient(&rs[i])
	}
	return rs
}

func (d *decoder) recipient(r *mail.Recipient) {
	flags := d.byte()
	r.Removed, r.Outside = flags&flagRemoved != 0, flags&flagOutside != 0
	r.Address = mail.Address(d.text())
	r.Original = r.Address
	if flags&flagSameOriginal == 0 {
		r.Original = mail.Address(d.string())
	}
	if flags&flagRouted != 0 {
		r.Route, r.NextHop = d.text(), d.string()
	}
	if d.version > 1 && flags&flagParams != 0 {
		r.Params = d.string()
	}
	if d.version > 2 {
		d.wishes(r, flags)
	}
}

// wishes reads what appendWishes wrote.
func (d *decoder) wishes(r *mail.Recipient, flags byte) {
	if flags&flagNotify != 0 {
		r.Notify = mail.Notify(d.byte())
	}
	if !r.Notify.Valid() {
		d.fail("NOTIFY of %d", r.Notify)
	}
	if flags&flagORCPT != 0 {
		r.ORCPT = d.string()
	}
	if d.version > 3 && flags&flagValidSince != 0 {
		r.ValidSince = mail.ValidSince{At: d.time(), Continue: d.byte()&1 != 0}
	}
}

func (d *decoder) meta() map[string]string {
	n := d.count(math.MaxInt32)
	if n > len(d.b)/2 {
		d.fail("%d notes in %d octets", n, len(d.b))
	}
	if n == 0 || d.err != nil {
		return nil
	}
	if d.skim {
		for range n {
			d.octets()
			d.octets()
		}
		return nil
	}
	m := make(map[string]string, n)
	for range n {
		k := d.string()
		m[k] = d.string()
	}
	return m
}
