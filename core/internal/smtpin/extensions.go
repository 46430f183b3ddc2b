// SPDX-License-Identifier: Apache-2.0

package smtpin

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/postroad-mail/postroad/core/mail"
)

// longestTime is the longest time that FUTURERELEASE and DELIVERBY can name.
const longestTime = 999_999_999 * time.Second

// bounds are what an offer holds a client to, as its lines say.
type bounds struct {
	rcpts int           // recipients of a transaction: RCPTMAX of LIMITS (RFC 9422)
	hold  time.Duration // longest time until release, of FUTURERELEASE (RFC 4865)
	by    time.Duration // least time of BY in mode R, of DELIVERBY (RFC 2852)
}

func (o *Options) bounds() bounds {
	return bounds{o.Limits.Recipients, o.Limits.Hold, o.Limits.DeliverBy}
}

// line returns an extension's line of the EHLO list, with its parameters as they
// are now.
func (o *Options) line(extension string) string {
	switch extension {
	case "LIMITS":
		return "LIMITS RCPTMAX=" + strconv.Itoa(o.Limits.Recipients)
	case "FUTURERELEASE":
		return "FUTURERELEASE " + seconds(o.Limits.Hold) + " " + o.Now().Add(o.Limits.Hold).UTC().Format(time.RFC3339)
	case "DELIVERBY":
		if o.Limits.DeliverBy > 0 {
			return "DELIVERBY " + seconds(o.Limits.DeliverBy)
		}
	}
	return extension
}

func seconds(d time.Duration) string { return strconv.FormatInt(int64(d/time.Second), 10) }

// sound takes what cannot stand alone off an edited list: BINARYMIME without
// CHUNKING (RFC 3030 §3).
func sound(list []string) []string {
	if (&offer{list: list}).has("CHUNKING") {
		return list
	}
	return slices.DeleteFunc(list, func(line string) bool {
		keyword, _, _ := strings.Cut(line, " ")
		return strings.EqualFold(keyword, "BINARYMIME")
	})
}

// within returns the bounds of an edited offer: a line that allows less than we do
// is the limit of the session.
func (b bounds) within(e *offer) bounds {
	limits, _ := e.find("LIMITS")
	for _, limit := range words(limits) {
		if n, ok := strings.CutPrefix(strings.ToUpper(limit), "RCPTMAX="); ok {
			b.rcpts = int(lesser(n, int64(b.rcpts)))
		}
	}
	release, _ := e.find("FUTURERELEASE")
	most, _, _ := strings.Cut(release, " ")
	b.hold = time.Duration(lesser(most, int64(b.hold/time.Second))) * time.Second
	least, _ := e.find("DELIVERBY")
	if n, err := strconv.ParseInt(least, 10, 64); err == nil && n > 0 && n <= int64(longestTime/time.Second) {
		b.by = max(b.by, time.Duration(n)*time.Second)
	}
	return b
}

// lesser returns the number in s where it is above 0 and below n.
func lesser(s string, n int64) int64 {
	if m, err := strconv.ParseInt(s, 10, 64); err == nil && m > 0 && m < n {
		return m
	}
	return n
}

// extensionOf returns the extension that a parameter of MAIL with a time in it
// belongs to.
func extensionOf(key string) string {
	switch key {
	case "HOLDFOR", "HOLDUNTIL":
		return "FUTURERELEASE"
	case "BY":
		return "DELIVERBY"
	}
	return ""
}

// times are the times in the parameters of MAIL.
type times struct {
	holdFor   time.Duration // HOLDFOR=; 0: none
	holdUntil time.Time     // HOLDUNTIL=; zero: none
	by        *mail.ByTime  // BY=; nil: none
}

func (t *times) set(key, value string) *refusal {
	var err error
	switch key {
	case "HOLDFOR":
		t.holdFor, err = mail.ParseHoldFor(value)
	case "HOLDUNTIL":
		t.holdUntil, err = mail.ParseHoldUntil(value)
	case "BY":
		var by mail.ByTime
		by, err = mail.ParseDeliverBy(value)
		t.by = &by
	}
	return badParam(err)
}

// check refuses times that no moment makes sense of.
func (t *times) check(o *offer) *refusal {
	switch {
	case t.holdFor > 0 && !t.holdUntil.IsZero():
		return refuse(ReasonSyntax, 501, 5, 4, "HOLDFOR and HOLDUNTIL exclude each other (RFC 4865)")
	case t.by != nil && t.by.Return && time.Duration(t.by.Seconds)*time.Second < o.by:
		return refuse(ReasonSyntax, 555, 5, 4, "BY of mode R is less than the "+seconds(o.by)+" seconds that this server needs (RFC 2852)")
	}
	return nil
}

// count counts the times of the command from now.
func (c *mailCommand) count(now time.Time, o *offer) *refusal {
	p, t := &c.params, &c.times
	if p.Release = t.holdUntil; t.holdFor > 0 {
		p.Release = now.Add(t.holdFor)
	}
	if t.by != nil {
		p.DeliverBy = t.by.From(now)
	}
	switch {
	case p.Release.IsZero():
		return nil
	case p.Release.After(now.Add(o.hold)):
		return refuse(ReasonSyntax, 501, 5, 4, "the message is to be held for more than "+seconds(o.hold)+" seconds (RFC 4865)")
	case p.Release.Before(now):
		return refuse(ReasonSyntax, 501, 5, 4, "HOLDUNTIL is past (RFC 4865)")
	case t.by != nil && !p.DeliverBy.At.After(p.Release):
		return refuse(ReasonSyntax, 501, 5, 4, "the message is to be delivered before it is released (RFC 4865)")
	}
	return nil
}

// requireTLS reads REQUIRETLS, which has no value (RFC 8689 §2).
func (p *MailParams) requireTLS(hasValue bool) *refusal {
	if hasValue {
		return refuse(ReasonSyntax, 501, 5, 4, "REQUIRETLS has no value")
	}
	p.RequireTLS = true
	return nil
}

// setPriority reads MT-PRIORITY= (RFC 6710 §3).
func (p *MailParams) setPriority(value string) *refusal {
	var err error
	p.Priority, err = mail.ParseMTPriority(value)
	p.Prioritized = err == nil
	return badParam(err)
}
