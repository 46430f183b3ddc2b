// SPDX-License-Identifier: Apache-2.0

package sasl

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/md5" //nolint:gosec // CRAM-MD5 is made of it
	"crypto/rand"
	"encoding/base32"
	"encoding/hex"
	"strings"

	"github.com/postroad-mail/postroad/core/internal/auth"
)

// plain is PLAIN (RFC 4616): authorization identity, user and password in one
// message. Nobody may be somebody else here.
func (s *Server) plain(p auth.Peer) auth.Exchange {
	return clientFirst(func(ctx context.Context, response []byte) ([]byte, *auth.Account, error) {
		parts := bytes.Split(response, []byte{0})
		if len(parts) != 3 {
			return nil, nil, auth.ErrDenied
		}
		as, user := string(parts[0]), string(parts[1])
		if as != "" && as != user {
			return nil, nil, auth.ErrDenied
		}
		who, err := s.password(ctx, p, "PLAIN", user, string(parts[2]))
		return nil, who, err
	})
}

// login is LOGIN, which no RFC describes: the user, then the password. Some
// clients send the user as initial response.
func (s *Server) login(p auth.Peer) auth.Exchange {
	var user string
	asked := func(_ context.Context, response []byte) ([]byte, *auth.Account, error) {
		user = string(response)
		return []byte("Password:"), nil, nil
	}
	told := func(ctx context.Context, response []byte) ([]byte, *auth.Account, error) {
		who, err := s.password(ctx, p, "LOGIN", user, string(response))
		return nil, who, err
	}
	return &prompted{exchange: exchange{left: steps{asked, told}}, prompt: "Username:"}
}

// prompted is an exchange whose invitation has a text.
type prompted struct {
	exchange
	prompt string
}

// Next implements auth.Exchange.
func (e *prompted) Next(ctx context.Context, response []byte) ([]byte, *auth.Account, error) {
	prompt := e.prompt
	e.prompt = ""
	if prompt != "" && response == nil {
		return []byte(prompt), nil, nil
	}
	return e.exchange.Next(ctx, response)
}

// password asks the directories about a user with a password.
func (s *Server) password(ctx context.Context, p auth.Peer, mechanism, user, password string) (*auth.Account, error) {
	a := auth.Attempt{Mechanism: mechanism, Peer: p}
	var err error
	if a.User, err = prepared(user); err != nil {
		return nil, err
	}
	if a.Password, err = prepared(password); err != nil {
		return nil, err
	}
	who, err := s.guarded(p, a.User, func() (*auth.Account, error) {
		return ask(able[auth.Passwords](s), func(d auth.Passwords) (*auth.Account, error) { return d.Password(ctx, a) })
	})
	if err == nil && s.o.Shown != nil {
		s.o.Shown(a.Password)
	}
	return who, err
}

// cramMD5 is CRAM-MD5 (RFC 2195): weak, as its hash is, and as the directory has
// to know the password itself.
func (s *Server) cramMD5(p auth.Peer) auth.Exchange {
	challenge := "<" + nonce() + "@" + s.o.Hostname + ">"
	return steps{
		func(_ context.Context, response []byte) ([]byte, *auth.Account, error) {
			if response != nil {
				return nil, nil, auth.ErrDenied // it has no initial response
			}
			return []byte(challenge), nil, nil
		},
		func(ctx context.Context, response []byte) ([]byte, *auth.Account, error) {
			who, err := s.digest(ctx, p, challenge, string(response))
			return nil, who, err
		},
	}.begin()
}

// digest checks "user digest".
func (s *Server) digest(ctx context.Context, p auth.Peer, challenge, response string) (*auth.Account, error) {
	cut := strings.LastIndexByte(response, ' ')
	if cut < 0 {
		return nil, auth.ErrDenied
	}
	user, err := prepared(response[:cut])
	if err != nil {
		return nil, err
	}
	return s.guarded(p, user, func() (*auth.Account, error) {
		return ask(able[auth.Secrets](s), func(d auth.Secrets) (*auth.Account, error) {
			secret, who, err := d.Secret(ctx, user)
			return whose(who, err, hmac.Equal([]byte(cramDigest(secret, challenge)), []byte(strings.ToLower(response[cut+1:]))))
		})
	})
}

// whose returns the account if the client has shown that it is its own.
func whose(who *auth.Account, err error, shown bool) (*auth.Account, error) {
	if err == nil && !shown {
		return nil, auth.ErrDenied
	}
	return who, err
}

func cramDigest(secret, challenge string) string {
	h := hmac.New(md5.New, []byte(secret))
	h.Write([]byte(challenge))
	return hex.EncodeToString(h.Sum(nil))
}

// nonce returns 128 random bits as text.
func nonce() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it never fails
	return base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b[:])
}
