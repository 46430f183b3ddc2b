// SPDX-License-Identifier: Apache-2.0

// Package report writes delivery status notifications: what the sender of a
// message is told of its recipients, that it failed, is late, or was delivered. A
// notification has a text for people, a part for programs (RFC 3464), and the
// header section of the message. The message itself comes back only where the
// caller gives its body: a bounce must not carry a stranger's content to somebody
// who may not have sent it.
//
// Everything in it that came from elsewhere — replies, addresses, the header —
// is hostile: line ends and control characters are taken out, lengths are
// bounded, and what is not ASCII is encoded unless the sender has shown to
// understand SMTPUTF8 (RFC 6533).
package report

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/postroad-mail/postroad/core/mail"
)

// MaxHeader bounds how much of the message's header section is returned, in
// octets. Only whole fields are.
const MaxHeader = 32 << 10

// Errors of BuildDSN.
var (
	ErrNullSender = errors.New("report: a message from the null sender is never bounced")
	ErrNobody     = errors.New("report: there is nobody to report on")
)

// Input is what a notification is about.
type Input struct {
	Hostname string         // ours
	Envelope *mail.Envelope // of the message; only read
	Header   []byte         // its header section; nil when it cannot be read
	Body     []byte         // its body, when the whole message is to go back; else nil
	Told     []mail.Told    // at least one, each for another recipient: only failures, only delays, or neither
	Added    []byte         // further header fields for the notification, lines ending in CRLF
	Now      time.Time
}

// BuildDSN writes the notification of what became of the recipients in.Told: an
// envelope from the null sender to the message's sender, without an id, and
// header section and body with CRLF line ends. The same input gives the same
// octets, boundary and Message-ID included. It fails with ErrNullSender, so that
// nothing is ever said about a notification (RFC 5321 §4.5.5), and with ErrNobody.
func BuildDSN(in Input) (env *mail.Envelope, header, body []byte, err error) {
	if in.Envelope.Sender.IsNull() {
		return nil, nil, nil, ErrNullSender
	}
	if len(in.Told) == 0 {
		return nil, nil, nil, ErrNobody
	}
	d := newDSN(in)
	parts := []part{d.text(), d.status(), d.returned()}
	boundary := d.boundary(parts)
	header, body = d.header(boundary), multipart(boundary, parts)
	env = d.envelope()
	env.EightBit = !ascii(string(header)) || !ascii(string(body))
	return env, header, body, nil
}

// dsn is one notification in the making.
type dsn struct {
	Input
	utf8   bool        // the sender understands SMTPUTF8
	fields mail.Header // of the message, as far as they are looked at
	cut    bool        // the header section is longer than what is returned
	hash   string      // of all that makes this notification another than others
	id     string      // the envelope's, fit for a header
	about  wording
}

func newDSN(in Input) *dsn {
	d := &dsn{Input: in, utf8: in.Envelope.SMTPUTF8 || !in.Envelope.Sender.ASCII()}
	d.Header, d.cut = wholeFields(in.Header, MaxHeader)
	d.fields = mail.ParseHeader(d.Header)
	if len(in.Body) > 0 && !bytes.HasSuffix(in.Body, []byte("\r\n")) {
		d.Body = append(bytes.Clone(in.Body), '\r', '\n') // as the message itself would have left us
	}
	h := sha256.New()
	fmt.Fprintf(h, "%s %s", in.Hostname, in.Envelope.ID)
	for _, o := range in.Told {
		fmt.Fprintf(h, " %d %s", o.Recipient, o.Action)
	}
	d.hash = hex.EncodeToString(h.Sum(nil))[:16]
	d.id = strings.Map(printableASCII, in.Envelope.ID)
	d.about = words(in.Told[0].Action)
	return d
}

// printableASCII makes everything but printable ASCII a question mark.
func printableASCII(r rune) rune {
	if r <= ' ' || r >= 0x7f {
		return '?'
	}
	return r
}

// wholeFields returns the fields of a header section that fit into max octets,
// and whether there are more.
func wholeFields(header []byte, max int) (kept []byte, cut bool) {
	h := mail.ParseHeader(header)
	n := 0
	for _, f := range h.Fields() {
		if n+len(f.Raw) > max {
			return header[:n:n], true
		}
		n += len(f.Raw)
	}
	return header[:n:n], false
}

// recipient returns who an outcome is about.
func (d *dsn) recipient(o *mail.Told) mail.Recipient {
	if o.Recipient < 0 || o.Recipient >= len(d.Envelope.Recipients) {
		return mail.Recipient{Address: "unknown"}
	}
	return d.Envelope.Recipients[o.Recipient]
}

// envelope makes the envelope of the notification, on which nobody reports in
// turn (RFC 3461 §6.2). What is said of a message that requires TLS requires it as
// well (RFC 8689 §5).
func (d *dsn) envelope() *mail.Envelope {
	return &mail.Envelope{
		Recipients: []mail.Recipient{{Address: d.Envelope.Sender, Original: d.Envelope.Sender, Notify: mail.NotifyNever}},
		Received:   d.Now,
		SMTPUTF8:   d.utf8,
		Tenant:     d.Envelope.Tenant,
		RequireTLS: d.Envelope.RequireTLS,
	}
}

// header writes the header section, with its empty line.
func (d *dsn) header(boundary string) []byte {
	var b []byte
	b = field(b, "From", "Mail Delivery System <MAILER-DAEMON@"+d.Hostname+">")
	b = field(b, "To", "<"+string(d.Envelope.Sender)+">")
	b = field(b, "Subject", d.about.subject)
	b = field(b, "Date", d.Now.Format(time.RFC1123Z))
	b = field(b, "Message-ID", "<"+d.hash+"."+d.id+"@"+d.Hostname+">")
	if id, ok := d.messageID(); ok {
		b = field(b, "In-Reply-To", id)
		b = field(b, "References", id)
	}
	b = field(b, "Auto-Submitted", "auto-replied") // RFC 3834 §5: nobody answers this
	b = field(b, "MIME-Version", "1.0")
	b = field(b, "Content-Type", `multipart/report; report-type=delivery-status; boundary="`+boundary+`"`)
	return append(d.added(b), '\r', '\n')
}

// added appends the fields that were asked for, each once, but none that would
// change what the notification says of itself, and what is not ASCII only to a
// sender with SMTPUTF8.
func (d *dsn) added(b []byte) []byte {
	own := mail.ParseHeader(b)
	asked := mail.ParseHeader(d.Added)
	for _, f := range asked.Fields() {
		name := f.Name()
		reserved := len(name) >= 8 && strings.EqualFold(name[:8], "Content-")
		switch {
		case name == "" || reserved || own.Count(name) > 0, bytes.Contains(b, f.Raw):
		case !d.utf8 && !ascii(string(f.Raw)):
		default:
			b = append(b, f.Raw...)
		}
	}
	return b
}

// messageID returns the Message-ID of the message when it is a plain one.
func (d *dsn) messageID() (string, bool) {
	id, ok := d.fields.Get("Message-ID")
	plain := len(id) < 250 && strings.HasPrefix(id, "<") && strings.HasSuffix(id, ">") && !strings.ContainsAny(id, " \t")
	return id, ok && plain && ascii(id)
}

// boundary returns a line that cannot stand in parts: whoever wrote what is in
// them cannot have known the hash of it.
func (d *dsn) boundary(parts []part) string {
	h := sha256.New()
	h.Write([]byte(d.hash + d.id))
	for _, p := range parts {
		h.Write(p.content)
	}
	return "=_" + hex.EncodeToString(h.Sum(nil))[:32]
}
