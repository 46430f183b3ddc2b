// SPDX-License-Identifier: Apache-2.0

// Package sasl plays the server's side of SASL mechanisms (RFC 4422) over what
// directories of accounts can do.
package sasl

import (
	"context"
	"crypto/tls"
	"errors"
	"slices"
	"strings"

	"github.com/postroad-mail/postroad/core/internal/auth"
)

// Options say who can log in, and how.
type Options struct {
	// Directories are asked in this order; each implements those interfaces of
	// package auth that it can serve.
	Directories []any
	// Mechanisms are the names that may be offered, as far as a directory serves
	// them. Nil means all of them but CRAM-MD5.
	Mechanisms []string
	Hostname   string                // ours, in the challenge of CRAM-MD5
	Secret     []byte                // makes up salts for users that there are not: 32 octets that stay the same
	Gate       Gate                  // nil: nobody is kept from guessing
	Shown      func(password string) // if set: told of a password that was right
}

// Gate keeps clients from guessing passwords.
type Gate interface {
	// Enter is asked before a directory is. Where it says no, the client is denied
	// as if the password were wrong. Else left is called once with the outcome:
	// nil, auth.ErrDenied, or the fault.
	Enter(p auth.Peer, user string) (left func(err error), ok bool)
}

// Server offers mechanisms and begins exchanges. It is used by many sessions.
type Server struct {
	o      Options
	offers []offer
}

// offer is a mechanism that some directory serves.
type offer struct {
	name  string
	begin func(p auth.Peer) auth.Exchange
	fits  func(state *tls.ConnectionState) bool // nil: any connection
}

// New returns a server. Its mechanisms are those that Options allow and a
// directory serves.
func New(o Options) *Server {
	s := &Server{o: o}
	for _, m := range slices.Concat(s.common(), s.own()) {
		if s.allows(m.name) && !slices.ContainsFunc(s.offers, func(had offer) bool { return had.name == m.name }) {
			s.offers = append(s.offers, m)
		}
	}
	return s
}

// Names are all mechanisms that this package knows, in the order in which they are
// offered: the best first.
func Names() []string {
	return []string{"SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-1", "OAUTHBEARER", "XOAUTH2", "EXTERNAL", "PLAIN", "LOGIN", "CRAM-MD5"}
}

// common are the mechanisms of this package that the directories can serve.
func (s *Server) common() []offer {
	var all []offer
	add := func(can bool, more ...offer) {
		if can {
			all = append(all, more...)
		}
	}
	add(has[auth.Keys](s), s.scram("SHA-256", true), s.scram("SHA-1", true), s.scram("SHA-256", false), s.scram("SHA-1", false))
	add(has[auth.Tokens](s), offer{"OAUTHBEARER", s.oauthBearer, nil}, offer{"XOAUTH2", s.xoauth2, nil})
	add(has[auth.Certificates](s), offer{"EXTERNAL", s.external, certified})
	add(has[auth.Passwords](s), offer{"PLAIN", s.plain, nil}, offer{"LOGIN", s.login, nil})
	add(has[auth.Secrets](s), offer{"CRAM-MD5", s.cramMD5, nil})
	return all
}

// own are mechanisms of directories' own.
func (s *Server) own() []offer {
	var all []offer
	for _, d := range able[auth.Mechanisms](s) {
		for _, name := range d.Mechanisms() {
			all = append(all, offer{name, func(p auth.Peer) auth.Exchange { return s.gated(p, d.Begin(name, p)) }, nil})
		}
	}
	return all
}

func (s *Server) allows(name string) bool {
	if s.o.Mechanisms == nil {
		return name != "CRAM-MD5"
	}
	return slices.Contains(s.o.Mechanisms, name)
}

// Mechanisms returns what a client on such a connection may use, by name.
func (s *Server) Mechanisms(state *tls.ConnectionState) []string {
	var names []string
	for _, m := range s.offers {
		if m.fits == nil || m.fits(state) {
			names = append(names, m.name)
		}
	}
	return names
}

// Begin begins an exchange by a mechanism that Mechanisms returned.
func (s *Server) Begin(mechanism string, p auth.Peer) auth.Exchange {
	for _, m := range s.offers {
		if strings.EqualFold(m.name, mechanism) {
			return m.begin(p)
		}
	}
	return steps{func(context.Context, []byte) ([]byte, *auth.Account, error) { return nil, nil, errNotOffered }}.begin()
}

var errNotOffered = errors.New("sasl: mechanism is not offered")

// able returns the directories that implement T.
func able[T any](s *Server) []T {
	var all []T
	for _, d := range s.o.Directories {
		if t, ok := d.(T); ok {
			all = append(all, t)
		}
	}
	return all
}

func has[T any](s *Server) bool { return len(able[T](s)) > 0 }

// ask asks directories one after the other until one knows the client. One that
// is out of order does not keep the others from being asked; but where none knows
// the client then, nobody can say that it is wrong.
func ask[T any](dirs []T, how func(T) (*auth.Account, error)) (*auth.Account, error) {
	err := auth.ErrDenied
	for _, d := range dirs {
		who, e := how(d)
		switch {
		case e == nil && who != nil && who.User != "":
			return who, nil
		case e == nil:
			err = errNobody
		case !errors.Is(e, auth.ErrDenied):
			err = e
		}
	}
	return nil, err
}

var errNobody = errors.New("sasl: the directory named nobody")

// guarded asks by how, if the gate lets the user in.
func (s *Server) guarded(p auth.Peer, user string, how func() (*auth.Account, error)) (*auth.Account, error) {
	if s.o.Gate == nil {
		return how()
	}
	left, ok := s.o.Gate.Enter(p, user)
	if !ok {
		return nil, auth.ErrDenied
	}
	who, err := how()
	left(err)
	return who, err
}
