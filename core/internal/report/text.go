// SPDX-License-Identifier: Apache-2.0

package report

import (
	"mime"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/postroad-mail/postroad/core/mail"
)

// width is where lines of the text are broken, in characters.
const width = 72

// wording is how a notification of one kind speaks.
type wording struct {
	subject string
	one     string // said before an only recipient
	several string // said before several
	end     string
}

func words(a mail.Action) wording {
	switch a {
	case mail.ActionFailed:
		return wording{"Undelivered mail returned to sender",
			"Your message could not be delivered to this address:",
			"Your message could not be delivered to these addresses:",
			"It will not be tried again."}
	case mail.ActionDelayed:
		return wording{"Delayed mail (still being tried)",
			"Your message could not be delivered to this address yet:",
			"Your message could not be delivered to these addresses yet:",
			"This is a warning only. You need not send your message again."}
	}
	return wording{"Delivery report",
		"You asked what became of your message to this address:",
		"You asked what became of your message to these addresses:",
		"This server is done with it."}
}

// text is the part for people.
func (d *dsn) text() part {
	var b lines
	b.add("This is the mail server " + d.Hostname + ".")
	b.add("")
	if len(d.Told) == 1 {
		b.add(d.about.one)
	} else {
		b.add(d.about.several)
	}
	for i := range d.Told {
		d.explain(&b, &d.Told[i])
	}
	b.add("")
	b.wrap("", d.about.end+" Nothing is said here about other recipients.")
	b.add("")
	d.describe(&b)
	return textPart("Notification", "text/plain; charset=utf-8", b.bytes())
}

// explain says what happened to one recipient.
func (d *dsn) explain(b *lines, o *mail.Told) {
	r := d.recipient(o)
	b.add("")
	b.add("  " + clean(string(r.Address)))
	if r.Original != "" && r.Original != r.Address {
		b.add("    to which your message for " + clean(string(r.Original)) + " was redirected")
	}
	switch o.Action {
	case mail.ActionDelivered:
		b.add("    It is in the mailbox.")
		return
	case mail.ActionExpanded:
		b.add("    It stands for others, to whom your message goes on.")
		return
	}
	b.wrap("    ", where(o))
	b.wrap("      ", clean(o.Reply.Line()))
	if !o.Until.IsZero() {
		b.add("    It will be tried until " + o.Until.Format(time.RFC1123Z) + ".")
	}
}

// where says who said what follows.
func where(o *mail.Told) string {
	host := clean(o.NextHop)
	switch {
	case o.Action == mail.ActionRelayed:
		return "It was handed to " + host + " [" + clean(o.Address) + "], which makes no such reports:"
	case o.Remote && host != "":
		return host + " [" + clean(o.Address) + "] answered:"
	case host != "":
		return "on the way to " + host + ":"
	}
	return "this server says:"
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
	case d.whole():
		b.add("If you ask your postmaster, give the reference. Your message is attached.")
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

// returned is what comes back of the message: all of it or its header section.
func (d *dsn) returned() part {
	switch {
	case d.whole() && ascii(string(d.Header)):
		return part{"The message", "message/rfc822", encoding(d.Body), d.message()}
	case d.whole():
		return part{"The message", "message/global", "8bit", d.message()}
	}
	const description = "Header of the message"
	if d.utf8 && !ascii(string(d.Header)) && utf8.Valid(d.Header) && short(d.Header) {
		return part{description, "message/global-headers", "8bit", d.Header}
	}
	return textPart(description, "text/rfc822-headers", d.Header)
}

// whole reports whether the message can stand in the notification as it is.
// Nothing else is done to it: an encoding would break its signatures. A header
// in UTF-8 is for those who understand it (RFC 6533 §4).
func (d *dsn) whole() bool {
	if d.Body == nil || len(d.Header) == 0 || d.cut || !short(d.Header) || !short(d.Body) {
		return false
	}
	return ascii(string(d.Header)) || d.utf8 && utf8.Valid(d.Header)
}

func (d *dsn) message() []byte {
	return slices.Concat(d.Header, []byte("\r\n"), d.Body)
}

func encoding(body []byte) string {
	if ascii(string(body)) {
		return "7bit"
	}
	return "8bit"
}
