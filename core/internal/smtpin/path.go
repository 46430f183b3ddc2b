// SPDX-License-Identifier: Apache-2.0

package smtpin

import (
	"errors"
	"strings"

	"github.com/postroad-mail/postroad/core/mail"
)

var (
	errPath  = errors.New("path needs angle brackets")
	errRoute = errors.New("source route is not valid")
)

// cutPath splits "<path> parameters" at the path's closing bracket, which may
// not be the first one: a quoted local part can hold brackets.
func cutPath(s string) (path, rest string, err error) {
	s = strings.TrimLeft(s, " ")
	if s == "" || s[0] != '<' {
		return "", "", errPath
	}
	quoted := false
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '"':
			quoted = !quoted
		case s[i] == '\\' && quoted:
			i++
		case s[i] == '>' && !quoted:
			return endPath(s[1:i], s[i+1:])
		}
	}
	return "", "", errPath
}

func endPath(path, rest string) (string, string, error) {
	if rest != "" && rest[0] != ' ' {
		return "", "", errPath
	}
	return path, rest, nil
}

// stripRoute drops the source route "@a,@b:" in front of a mailbox, as
// RFC 5321 §4.1.1.3 and appendix C tell a server to.
func stripRoute(path string) (string, error) {
	if path == "" || path[0] != '@' {
		return path, nil
	}
	end := routeEnd(path)
	if end < 0 {
		return "", errRoute
	}
	for _, hop := range strings.Split(path[:end], ",") {
		if hop == "" || hop[0] != '@' {
			return "", errRoute
		}
		if _, err := mail.ParseAddress("x"+hop, true); err != nil {
			return "", errRoute
		}
	}
	return path[end+1:], nil
}

// routeEnd finds the colon behind a source route; those within an address
// literal do not count.
func routeEnd(path string) int {
	literal := false
	for i := 0; i < len(path); i++ {
		switch {
		case path[i] == '[':
			literal = true
		case path[i] == ']':
			literal = false
		case path[i] == ':' && !literal:
			return i
		}
	}
	return -1
}

// parseMailbox checks what stood in angle brackets. A fault of the sender has
// detail 7, one of a recipient 3 (RFC 3463 §3.2).
func parseMailbox(path string, utf8 bool, detail int) (mail.Address, *refusal) {
	box, err := stripRoute(path)
	if err != nil {
		return "", refuse(ReasonSyntax, 501, 1, detail, err.Error())
	}
	a, err := mail.ParseAddress(box, utf8)
	switch {
	case errors.Is(err, mail.ErrNotASCII):
		return "", refuse(ReasonUTF8, 553, 6, 7, err.Error())
	case err != nil:
		return "", refuse(ReasonSyntax, 501, 1, detail, err.Error())
	}
	return a, nil
}

// mailCommand is a MAIL command, checked.
type mailCommand struct {
	from   mail.Address
	params MailParams
	times  times // of the parameters, before they are counted from now
}

// parseMail reads the argument of MAIL (RFC 5321 §4.1.1.2).
func parseMail(arg string, o *offer) (mailCommand, *refusal) {
	var c mailCommand
	path, rest, bad := cutArgument(arg, "FROM:", 7)
	if bad != nil {
		return c, bad
	}
	if bad = c.parseParams(rest, o); bad != nil {
		return c, bad
	}
	if path == "" {
		return c, nil
	}
	c.from, bad = parseMailbox(path, c.params.SMTPUTF8, 7)
	return c, bad
}

// rcptCommand is a RCPT command, checked.
type rcptCommand struct {
	to     mail.Address
	params RcptParams
}

// parseRcpt reads the argument of RCPT (RFC 5321 §4.1.1.3). <postmaster>
// without a domain is ours (RFC 5321 §4.5.1).
func parseRcpt(arg string, utf8 bool, o *offer, hostname string) (rcptCommand, *refusal) {
	var c rcptCommand
	path, rest, bad := cutArgument(arg, "TO:", 3)
	if bad != nil {
		return c, bad
	}
	if c.params, bad = parseRcptParams(rest, utf8, o); bad != nil {
		return c, bad
	}
	if strings.EqualFold(path, "postmaster") {
		path += "@" + hostname
	}
	c.to, bad = parseMailbox(path, utf8, 3)
	return c, bad
}

func cutArgument(arg, keyword string, detail int) (path, rest string, bad *refusal) {
	if len(arg) < len(keyword) || !strings.EqualFold(arg[:len(keyword)], keyword) {
		return "", "", refuse(ReasonSyntax, 501, 5, 4, "syntax: "+keyword+"<address>")
	}
	path, rest, err := cutPath(arg[len(keyword):])
	if err != nil {
		return "", "", refuse(ReasonSyntax, 501, 1, detail, err.Error())
	}
	return path, rest, nil
}

// validHelo reports whether s can be a domain or an address literal. It is
// lenient about names (RFC 5321 §4.1.4 forbids refusing a wrong one) but
// strict about characters, because s ends up in a Received field.
func validHelo(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && strings.IndexByte(".-_:[]", c) < 0 {
			return false
		}
	}
	return s != "" && len(s) <= mail.MaxDomain
}
