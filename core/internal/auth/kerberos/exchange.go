// SPDX-License-Identifier: Apache-2.0

package kerberos

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"unicode/utf8"

	"github.com/postroad-mail/postroad/core/internal/auth"
)

// maxToken is the longest token, in octets: tickets of Windows hold the groups of
// a user.
const maxToken = 48 << 10

// noLayer offers, and chooses, messages as they are above TLS, and none of any
// size (RFC 4752 §3.1, §3.2).
const noLayer = "\x01\x00\x00\x00"

// exchange is one run of GSSAPI (RFC 4752 §3.2).
type exchange struct {
	d    *Directory
	p    auth.Peer
	step func(x *exchange, response []byte) ([]byte, *auth.Account, error) // nil: the first
	c    *client
	seq  uint32 // of our first message
}

var errOver = errors.New("kerberos: the exchange is over")

// Next implements auth.Exchange. A panic of the library on what a client sent is
// a fault, and ends the exchange alone.
func (x *exchange) Next(_ context.Context, response []byte) (challenge []byte, who *auth.Account, err error) {
	defer func() {
		if p := recover(); p != nil {
			challenge, who, err = nil, nil, fmt.Errorf("kerberos: panic: %v\n%s", p, debug.Stack())
		}
	}()
	step := x.step
	if step == nil {
		step = (*exchange).first
	}
	x.step = (*exchange).over
	if len(response) > maxToken {
		return nil, nil, denied("a token of %d octets", len(response))
	}
	return step(x, response)
}

func (x *exchange) over([]byte) ([]byte, *auth.Account, error) { return nil, nil, errOver }

// first takes the ticket; without an initial response it is asked for.
func (x *exchange) first(response []byte) ([]byte, *auth.Account, error) {
	if response == nil {
		x.step = (*exchange).ticket
		return []byte{}, nil, nil
	}
	return x.ticket(response)
}

func (x *exchange) ticket(token []byte) ([]byte, *auth.Account, error) {
	req, err := parseRequest(token)
	if err != nil {
		return nil, nil, err
	}
	if x.c, err = x.d.accept(req, x.p); err != nil {
		return nil, nil, err
	}
	if !x.c.mutual {
		x.seq = x.c.seq // RFC 4121 leaves it open; the libraries of MIT and Heimdal expect it
		return x.offer(nil)
	}
	x.seq, x.step = newSequence(), (*exchange).offer
	challenge, err := reply(x.c, x.seq)
	return challenge, nil, err
}

// offer says which layers there are: none.
func (x *exchange) offer(response []byte) ([]byte, *auth.Account, error) {
	if len(response) > 0 {
		return nil, nil, denied("a token that nobody asked for")
	}
	x.step = (*exchange).choice
	challenge, err := wrap(x.c, x.seq, []byte(noLayer))
	return challenge, nil, err
}

// choice is the layer that the client wants, and whom it wants to be.
func (x *exchange) choice(token []byte) ([]byte, *auth.Account, error) {
	said, err := unwrap(x.c, token)
	switch {
	case err != nil:
		return nil, nil, err
	case len(said) < len(noLayer) || string(said[:len(noLayer)]) != noLayer:
		return nil, nil, denied("the client wants a layer that was not offered")
	}
	as := said[len(noLayer):]
	if !utf8.Valid(as) || !x.c.itself(string(as)) {
		return nil, nil, denied("%s may not be %q", x.c.who.User, as)
	}
	return nil, x.c.who, nil
}
