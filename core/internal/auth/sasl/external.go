// SPDX-License-Identifier: Apache-2.0

package sasl

import (
	"context"
	"crypto/tls"

	"github.com/postroad-mail/postroad/core/internal/auth"
)

// certified reports whether the client has shown a certificate that was verified.
func certified(state *tls.ConnectionState) bool {
	return state != nil && len(state.VerifiedChains) > 0
}

// external is EXTERNAL (RFC 4422 appendix A): the client is whom its certificate
// names, or whom it says it is, if the certificate may be that.
func (s *Server) external(p auth.Peer) auth.Exchange {
	return clientFirst(func(ctx context.Context, response []byte) ([]byte, *auth.Account, error) {
		if !certified(p.TLS) {
			return nil, nil, auth.ErrDenied
		}
		who, err := s.guarded(p, string(response), func() (*auth.Account, error) {
			return ask(able[auth.Certificates](s), func(d auth.Certificates) (*auth.Account, error) {
				return d.Certificate(ctx, p.TLS.VerifiedChains[0], string(response))
			})
		})
		return nil, who, err
	})
}

// gated puts the gate around an exchange of a directory's own. Who it is about is
// known at its end; until then it counts for the address alone.
func (s *Server) gated(p auth.Peer, x auth.Exchange) auth.Exchange {
	if s.o.Gate == nil {
		return x
	}
	return &gated{Exchange: x, s: s, p: p}
}

type gated struct {
	auth.Exchange
	s    *Server
	p    auth.Peer
	left func(error) // nil before the first step
}

// Next implements auth.Exchange.
func (g *gated) Next(ctx context.Context, response []byte) ([]byte, *auth.Account, error) {
	if g.left == nil {
		var ok bool
		if g.left, ok = g.s.o.Gate.Enter(g.p, ""); !ok {
			return nil, nil, auth.ErrDenied
		}
	}
	challenge, who, err := g.Exchange.Next(ctx, response)
	if err != nil || who != nil {
		g.left(err)
		g.left = func(error) {}
	}
	return challenge, who, err
}
