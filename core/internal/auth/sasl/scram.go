// SPDX-License-Identifier: Apache-2.0

package sasl

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"strings"

	"github.com/xdg-go/scram"

	"github.com/postroad-mail/postroad/core/internal/auth"
)

// scram is SCRAM with a hash (RFC 5802, RFC 7677), in its form with channel
// binding or without.
func (s *Server) scram(hash string, plus bool) offer {
	name := "SCRAM-" + hash
	if !plus {
		return offer{name, func(p auth.Peer) auth.Exchange { return s.beginSCRAM(hash, p, false) }, nil}
	}
	return offer{name + "-PLUS", func(p auth.Peer) auth.Exchange { return s.beginSCRAM(hash, p, true) }, bindable}
}

// bindable reports whether a login can be bound to the connection.
func bindable(state *tls.ConnectionState) bool { return len(bindings(state)) > 0 }

// bindings are the channel bindings of a TLS connection: tls-exporter (RFC 9266),
// and up to TLS 1.2 tls-unique (RFC 5929).
func bindings(state *tls.ConnectionState) []scram.ChannelBinding {
	var all []scram.ChannelBinding
	if state == nil {
		return nil
	}
	if b, err := scram.NewTLSExporterBinding(state); err == nil {
		all = append(all, b)
	}
	if state.Version <= tls.VersionTLS12 && len(state.TLSUnique) > 0 {
		all = append(all, scram.NewTLSUniqueBinding(state.TLSUnique))
	}
	return all
}

// binding returns the channel binding that the client's first message names, and
// the preferred one where it names none: who claims that we offer none is then
// found out (RFC 5802 §6).
func binding(state *tls.ConnectionState, first string) scram.ChannelBinding {
	all := bindings(state)
	for _, b := range all {
		if strings.HasPrefix(first, "p="+string(b.Type)+",") {
			return b
		}
	}
	if len(all) == 0 {
		return scram.ChannelBinding{}
	}
	return all[0]
}

// beginSCRAM is one exchange: the client's first message, its proof, and its
// thanks for ours.
func (s *Server) beginSCRAM(hash string, p auth.Peer, plus bool) auth.Exchange {
	x := &scramExchange{s: s, hash: hash, p: p, plus: plus}
	return clientFirst(x.first, x.final, x.thanks)
}

type scramExchange struct {
	s    *Server
	hash string
	p    auth.Peer
	plus bool
	conv *scram.ServerConversation
	who  *auth.Account
	left func(error) // tells the gate, once
}

// first looks the user up, and answers with salt and iterations.
func (x *scramExchange) first(ctx context.Context, response []byte) ([]byte, *auth.Account, error) {
	first := string(response)
	if x.plus != strings.HasPrefix(first, "p=") {
		return nil, nil, auth.ErrDenied // the message is of the other mechanism
	}
	var fault error
	lookup := func(user string) (scram.StoredCredentials, error) {
		k, err := x.keyring(ctx, user)
		fault = err
		return stored(k), err
	}
	server, err := generator(x.hash).NewServer(lookup)
	if err != nil {
		return nil, nil, err
	}
	x.conv = server.NewConversation()
	if bindable(x.p.TLS) && x.s.offersPlus(x.hash) {
		x.conv = server.NewConversationWithChannelBinding(binding(x.p.TLS, first))
	}
	challenge, err := x.conv.Step(first)
	if err != nil || !x.itself() {
		return nil, nil, x.end(denied(fault))
	}
	return []byte(challenge), nil, nil
}

// offersPlus reports whether the form with channel binding is offered, too.
func (s *Server) offersPlus(hash string) bool { return s.allows("SCRAM-" + hash + "-PLUS") }

// itself reports whether the client wants to be whom it logs in as.
func (x *scramExchange) itself() bool {
	as := x.conv.AuthzID()
	return as == "" || as == x.conv.Username()
}

// denied is fault, if there is one; else the client is wrong.
func denied(fault error) error {
	if fault != nil {
		return fault
	}
	return auth.ErrDenied
}

// final checks the proof, and shows ours.
func (x *scramExchange) final(_ context.Context, response []byte) ([]byte, *auth.Account, error) {
	challenge, err := x.conv.Step(string(response))
	if err != nil || !x.conv.Valid() || x.who == nil {
		return nil, nil, x.end(auth.ErrDenied)
	}
	return []byte(challenge), nil, x.end(nil)
}

// thanks is empty, for SMTP has no place for our proof in its last reply
// (RFC 4954 §4).
func (x *scramExchange) thanks(_ context.Context, response []byte) ([]byte, *auth.Account, error) {
	if len(response) > 0 {
		return nil, nil, auth.ErrDenied
	}
	return nil, x.who, nil
}

// end tells the gate how it ended.
func (x *scramExchange) end(err error) error {
	if x.left != nil {
		x.left(err)
		x.left = nil
	}
	return err
}

// keyring returns the keys of a user, and made-up ones where there is none or the
// gate is shut: their proof fails like that of a wrong password.
func (x *scramExchange) keyring(ctx context.Context, name string) (*auth.Keyring, error) {
	user, err := prepared(name)
	if err == nil && x.s.o.Gate != nil {
		var ok bool
		if x.left, ok = x.s.o.Gate.Enter(x.p, user); !ok {
			x.left, err = nil, auth.ErrDenied
		}
	}
	var keys *auth.Keyring
	if err == nil {
		x.who, err = ask(able[auth.Keys](x.s), func(d auth.Keys) (*auth.Account, error) {
			k, who, err := d.Keys(ctx, x.hash, user)
			keys = k
			return who, err
		})
	}
	if errors.Is(err, auth.ErrDenied) {
		x.who = nil
		return x.s.madeUp(x.hash, name), nil
	}
	return keys, err
}

// madeUp returns a keyring for a user that there is not. It is the same each time.
func (s *Server) madeUp(hash, user string) *auth.Keyring {
	derive := func(what string) []byte {
		h := hmac.New(sha256.New, s.o.Secret)
		h.Write([]byte(what + "\x00" + hash + "\x00" + user))
		return h.Sum(nil)
	}
	size := len(generator(hash)().Sum(nil))
	return &auth.Keyring{Salt: derive("salt")[:16], Iterations: auth.Iterations, StoredKey: derive("stored")[:size], ServerKey: derive("server")[:size]}
}

func stored(k *auth.Keyring) scram.StoredCredentials {
	if k == nil {
		return scram.StoredCredentials{}
	}
	return scram.StoredCredentials{
		KeyFactors: scram.KeyFactors{Salt: string(k.Salt), Iters: k.Iterations}, StoredKey: k.StoredKey, ServerKey: k.ServerKey,
	}
}

func generator(hash string) scram.HashGeneratorFcn {
	if hash == "SHA-1" {
		return scram.SHA1
	}
	return scram.SHA256
}
