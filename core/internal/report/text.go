// SPDX-License-Identifier: Apache-2.0

package report

import (
	"mime"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/postroad-mail/postroad/core/mail"
)

// width is where lines of the text are broken, in characters.
const width = 72

// text is the part for people.
func (d *dsn) text() part {
	var b lines
	b.add("This is the mail server " + d.Hostname + ".")
	b.add("")
	if len(d.Failed) == 1 {
		b.add("Your message could not be delivered to this address:")
	} else {
		b.add("Your message could not be delivered to these addresses:")
	}
	for _, o := range d.Failed {
		d.explain(&b, o)
	}
	b.add("")
	b.add("It will not be tried again. Nothing is said here about other recipients.")
	b.add("")
	d.describe(&b)
	return textPart("Notification", "text/plain; charset=utf-8", b.bytes())
}

// explain says what happened to one recipient.
func (d *dsn) explain(b *lines, o mail.Outcome) {
	r := d.recipient(o)
	b.add("")
	b.add("  " + clean(string(r.Address)))
	if r.Original != "" && r.Original != r.Address {
		b.add("    to which your message for " + clean(string(r.Original)) + " was redirected")
	}
	switch {
	case o.Remote && o.NextHop != "":
		b.add("    " + clean(o.NextHop) + " [" + clean(o.Address) + "] answered:")
	case o.NextHop != "":
		b.add("    on the way to " + clean(o.NextHop) + ":")
	default:
		b.add("    this server says:")
	}
	b.wrap("      ", clean(o.Reply.Line()))
}

// describe says which message this is about.
func (d *dsn) describe(b *lines) {
	b.add("Your message:")
	if s, ok := d.fields.Get("Subject"); ok {
		b.wrap("  Subject:   ", clean(decode(s)))
	}
	if s, ok := d.fields.Get("Date"); ok {
		b.wrap("  Date:      ", clean(s))
	}
	if !d.Envelope.Received.IsZero() {
		b.add("  Received:  " + d.Envelope.Received.Format(time.RFC1123Z))
	}
	b.add("  Reference: " + clean(d.Envelope.ID))
	b.add("")
	switch {
	case len(d.Header) == 0:
		b.add("If you ask your postmaster, give the reference.")
	case d.cut:
		b.add("If you ask your postmaster, give the reference. The beginning of your")
		b.add("message's header is attached.")
	default:
		b.add("If you ask your postmaster, give the reference. Your message's header is")
		b.add("attached.")
	}
}

// decode decodes encoded words (RFC 2047) where it can.
func decode(s string) string {
	if out, err := new(mime.WordDecoder).DecodeHeader(s); err == nil {
		return out
	}
	return s
}

// lines is a text in the making.
type lines struct{ b strings.Builder }

func (l *lines) bytes() []byte { return []byte(l.b.String()) }

func (l *lines) add(line string) { l.b.WriteString(line + "\r\n") }

// wrap adds text behind prefix, broken between words; further lines begin below
// the first one's text.
func (l *lines) wrap(prefix, text string) {
	indent := strings.Repeat(" ", len(prefix))
	line := prefix
	for _, word := range strings.Fields(text) {
		if line != prefix && utf8.RuneCountInString(line)+utf8.RuneCountInString(word) >= width {
			l.add(strings.TrimRight(line, " "))
			prefix, line = indent, indent
		}
		line += word + " "
	}
	l.add(strings.TrimRight(line, " "))
}

// returned is the message's header section.
func (d *dsn) returned() part {
	const description = "Header of the undelivered message"
	if d.utf8 && !ascii(string(d.Header)) && utf8.Valid(d.Header) && short(d.Header) {
		return part{description, "message/global-headers", "8bit", d.Header}
	}
	return textPart(description, "text/rfc822-headers", d.Header)
}
