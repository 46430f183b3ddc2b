// SPDX-License-Identifier: Apache-2.0

// Package auth answers who a client is. A directory knows accounts; what a
// directory can do decides which SASL mechanisms it serves (RFC 4422).
package auth

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/netip"
)

// ErrDenied is returned for a wrong user, a wrong password and an account that is
// closed alike: nobody is told which. Every other error of a directory is a fault,
// and the client is asked to come back.
var ErrDenied = errors.New("auth: denied")

// Account is who has logged in, and what its directory says of it.
type Account struct {
	User    string   // canonical name, never empty: what logs, quotas and Received go by
	Tenant  string   // whose mail it sends; empty: as the listener says
	Senders []string // addresses and "@domain"s that it may send as; nil: the directory does not say
}

// Peer is the connection on which a client logs in.
type Peer struct {
	Addr     netip.AddrPort
	Listener string               // its name in pipeline.hcl
	TLS      *tls.ConnectionState // nil on a plain connection
}

// Exchange is one run of a mechanism with one client (RFC 4422 §3). One goroutine
// uses it.
type Exchange interface {
	// Next takes the client's response: nil when there is none yet, and empty when
	// the client sent an empty one. It returns the next challenge, which may be
	// empty, or the account once the client is known. An error ends the exchange.
	Next(ctx context.Context, response []byte) (challenge []byte, who *Account, err error)
}

// Attempt is a user name with a password.
type Attempt struct {
	User      string // as the client gave it, prepared by SASLprep (RFC 4013)
	Password  string // likewise
	Mechanism string // by which it came
	Peer      Peer
}

// What a directory can do. Each implements those interfaces that it can serve; all
// of them are used by many sessions at once, and end with ctx.
type (
	// Passwords checks passwords that the client shows: PLAIN, LOGIN.
	Passwords interface {
		Password(ctx context.Context, a Attempt) (*Account, error)
	}
	// Keys holds what SCRAM needs of a user: SCRAM-SHA-1 and SCRAM-SHA-256
	// (RFC 5802, RFC 7677), with channel binding and without.
	Keys interface {
		Keys(ctx context.Context, hash, user string) (*Keyring, *Account, error)
	}
	// Secrets holds passwords that it can show: CRAM-MD5 (RFC 2195).
	Secrets interface {
		Secret(ctx context.Context, user string) (string, *Account, error)
	}
	// Tokens checks bearer tokens: OAUTHBEARER (RFC 7628), XOAUTH2. user is whom
	// the client says it is, empty if it does not say.
	Tokens interface {
		Token(ctx context.Context, user, token string) (*Account, error)
	}
	// Certificates knows clients by the certificate of their TLS handshake, which
	// has been verified: EXTERNAL (RFC 4422 appendix A). user is whom the client
	// wants to be, empty for whom the certificate names.
	Certificates interface {
		Certificate(ctx context.Context, chain []*x509.Certificate, user string) (*Account, error)
	}
	// Mechanisms are mechanisms of a directory's own, by their SASL names: GSSAPI.
	Mechanisms interface {
		Mechanisms() []string
		Begin(mechanism string, p Peer) Exchange
	}
)

// Keyring is what SCRAM needs of one user (RFC 5802 §3): it does not show the
// password, but whoever steals it can pass for the server.
type Keyring struct {
	Salt       []byte
	Iterations int    // at least 4,096
	StoredKey  []byte // as long as the hash
	ServerKey  []byte // likewise
}

// Iterations is how often SCRAM hashes a password that Postroad stores, and the
// number that users hear whom there are not (RFC 7677 §4 asks for 4,096).
const Iterations = 16384
