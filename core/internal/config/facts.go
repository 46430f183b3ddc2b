// SPDX-License-Identifier: Apache-2.0

package config

// factKind is the type of a fact's value.
type factKind int

const (
	kindString factKind = iota
	kindBool
	kindNumber
	kindSize // a number of octets: written with a unit
	kindList // strings
)

func (k factKind) String() string {
	return [...]string{"a string", "true or false", "a number", "a size", "a list of strings"}[k]
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

func anyPhase() []string     { return []string{"mail", "rcpt", "message"} }
func rcptPhases() []string   { return []string{"rcpt", "message"} }
func messagePhase() []string { return []string{"message"} }

// factTable holds every fact by its one name. It is not changed.
var factTable = map[string]fact{
	"client.ip":              {kindString, anyPhase(), false, "address of the client"},
	"client.name":            {kindString, anyPhase(), false, "verified reverse DNS name, empty if unknown"},
	"client.helo":            {kindString, anyPhase(), false, "what the client called itself in EHLO or HELO"},
	"client.authenticated":   {kindBool, anyPhase(), false, "the client has logged in"},
	"client.user":            {kindString, anyPhase(), false, "the user it logged in as, empty if none"},
	"session.tls":            {kindBool, anyPhase(), false, "the connection is encrypted"},
	"session.listener":       {kindString, anyPhase(), false, "name of the listener"},
	"envelope.sender":        {kindString, anyPhase(), false, "reverse-path without brackets, empty for the null sender"},
	"envelope.sender_domain": {kindString, anyPhase(), false, "its domain in lower case"},
	"envelope.size":          {kindSize, anyPhase(), false, "SIZE= of MAIL, 0B if the client named none"},
	"envelope.recipients":    {kindNumber, messagePhase(), false, "number of recipients"},
	"recipient.address":      {kindString, rcptPhases(), true, "forward-path without brackets"},
	"recipient.domain":       {kindString, rcptPhases(), true, "its domain in lower case"},
	"recipient.local":        {kindString, rcptPhases(), true, "its local part"},
	"message.size":           {kindSize, messagePhase(), false, "octets of the whole message"},
	messageHeader:            {kindList, messagePhase(), false, "unfolded values of a header field, in order: message.header[\"Subject\"]"},
}
