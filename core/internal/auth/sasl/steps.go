// SPDX-License-Identifier: Apache-2.0

package sasl

import (
	"context"
	"errors"

	"github.com/xdg-go/stringprep"

	"github.com/postroad-mail/postroad/core/internal/auth"
)

// step answers one response of the client.
type step = func(ctx context.Context, response []byte) (challenge []byte, who *auth.Account, err error)

// steps are an exchange of so many responses.
type steps []step

func (s steps) begin() auth.Exchange { return &exchange{left: s} }

// exchange takes one step after the other.
type exchange struct{ left steps }

var errOver = errors.New("sasl: the exchange is over")

// Next implements auth.Exchange.
func (e *exchange) Next(ctx context.Context, response []byte) ([]byte, *auth.Account, error) {
	if len(e.left) == 0 {
		return nil, nil, errOver
	}
	next := e.left[0]
	e.left = e.left[1:]
	challenge, who, err := next(ctx, response)
	if err != nil {
		e.left = nil
	}
	return challenge, who, err
}

// clientFirst is an exchange in which the client speaks first: without an initial
// response it is invited by an empty challenge (RFC 4954 §4).
func clientFirst(s ...step) auth.Exchange { return &invited{exchange: exchange{left: s}} }

// invited is an exchange with an invitation.
type invited struct {
	exchange
	begun bool
}

// Next implements auth.Exchange.
func (e *invited) Next(ctx context.Context, response []byte) ([]byte, *auth.Account, error) {
	first := !e.begun
	e.begun = true
	if first && response == nil {
		return []byte{}, nil, nil
	}
	return e.exchange.Next(ctx, response)
}

// prepared returns a user name or a password as it is compared (RFC 4013). What
// cannot be prepared is nobody's.
func prepared(s string) (string, error) {
	p, err := stringprep.SASLprep.Prepare(s)
	if err != nil || p == "" {
		return "", auth.ErrDenied
	}
	return p, nil
}
