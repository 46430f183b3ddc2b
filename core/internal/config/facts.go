// SPDX-License-Identifier: Apache-2.0

package config

import (
	"slices"
	"strings"
)

// factKind is the type of a fact's value.
type factKind int

const (
	kindString factKind = iota
	kindBool
	kindNumber
	kindSize  // a number of octets: written with a unit
	kindScore // thousandths: written as a decimal number
	kindList  // strings
)

func (k factKind) String() string {
	return [...]string{"a string", "true or false", "a number", "a size", "a score", "a list of strings"}[k]
}

// fact is one thing that a `when` can ask about.
type fact struct {
	kind      factKind
	phases    []string // in which it is known
	recipient bool     // it belongs to a recipient, not to the message
	doc       string
}

// messageHeader is the one fact that takes an argument.
const messageHeader = "message.header"

// factPhases returns the phases in which conditions are asked, in the order of
// a message's way: all but tick and reset, which have no message to ask about.
func factPhases() []string {
	return slices.DeleteFunc(phaseNames(), func(p string) bool { return p == "tick" || p == "reset" })
}

// since returns a phase and those that come later.
func since(phase string) []string {
	all := factPhases()
	return all[slices.Index(all, phase):]
}

// recipientPhases are those that are about one recipient, and the phase message,
// in which recipients are selected.
func recipientPhases() []string { return []string{"rcpt", "message", "route", "bounce"} }

// knownText names phases for people, short where they are all from one on.
func knownText(phases []string) string {
	switch from := since(phases[0]); {
	case len(phases) < 2 || len(phases) < len(from):
		return strings.Join(phases, ", ")
	case phases[0] == "connect":
		return "every phase"
	}
	return phases[0] + " and later"
}

// factTable holds every fact by its one name. It is not changed.
var factTable = map[string]fact{
	"client.ip":              {kindString, since("connect"), false, "address of the client"},
	"client.name":            {kindString, since("connect"), false, "verified reverse DNS name, empty if unknown"},
	"client.helo":            {kindString, since("helo"), false, "what the client called itself in EHLO or HELO"},
	"client.authenticated":   {kindBool, since("auth"), false, "the client has logged in"},
	"client.user":            {kindString, since("auth"), false, "the user it logged in as, empty if none"},
	"session.tls":            {kindBool, since("tls"), false, "the connection is encrypted"},
	"session.listener":       {kindString, since("connect"), false, "name of the listener"},
	"envelope.sender":        {kindString, since("mail"), false, "reverse-path without brackets, empty for the null sender"},
	"envelope.sender_domain": {kindString, since("mail"), false, "its domain in lower case"},
	"envelope.size":          {kindSize, since("mail"), false, "SIZE= of MAIL, 0B if the client named none"},
	"envelope.tenant":        {kindString, since("headers"), false, "whose mail this is, empty if nobody said"},
	"envelope.campaign":      {kindString, since("headers"), false, "the campaign that it belongs to, empty if nobody said"},
	"envelope.recipients":    {kindNumber, since("data"), false, "number of recipients"},
	"recipient.address":      {kindString, recipientPhases(), true, "forward-path without brackets"},
	"recipient.domain":       {kindString, recipientPhases(), true, "its domain in lower case"},
	"recipient.local":        {kindString, recipientPhases(), true, "its local part"},
	"message.score":          {kindScore, since("mail"), false, "sum of the scores that stages gave so far"},
	"message.size":           {kindSize, since("message"), false, "octets of the whole message"},
	messageHeader:            {kindList, since("headers"), false, "unfolded values of a header field, in order: message.header[\"Subject\"]"},
	"delivery.route":         {kindString, since("route"), false, "name of the route"},
	"delivery.next_hop":      {kindString, since("predeliver"), false, "host:port of the attempt, empty when there is none"},
	"delivery.attempt":       {kindNumber, since("route"), false, "number of the attempt, from 1"},
}
