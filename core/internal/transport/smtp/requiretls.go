// SPDX-License-Identifier: Apache-2.0

package smtp

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/postroad-mail/postroad/core/mail"
)

// What RFC 8689 §4.2.1 says of hosts that cannot have a message which requires TLS.
// The host for a domain is the one that DNS names, and its certificate is held
// against the roots that we trust; where a policy vouches for the name (MTA-STS) or
// for the certificate (DANE), that is the place to ask it.
var (
	needsRequireTLS = mail.Reply{Code: 550, Enhanced: mail.Enhanced{5, 7, 30}, Text: "the next host does not offer REQUIRETLS, which this message requires"}
	needsTLS        = mail.Reply{Code: 550, Enhanced: mail.Enhanced{5, 7, 10}, Text: "the next host does no TLS that can be trusted, which this message requires"}
)

// lacking is the error for a host that cannot have what requires TLS.
func lacking(target Target, r mail.Reply, cause error) *HostError {
	r.Text, r.Cause = printable([]byte(r.Text+": "+reason(cause))), cause
	return &HostError{Host: target.Host, Address: target.Addr.String(), Reply: r}
}

// failedTLS is the error for a handshake that failed. Where TLS is required, a
// certificate that is not the host's will not be it tomorrow; a connection that was
// lost may hold.
func failedTLS(target Target, err error) error {
	var lost net.Error
	if target.RequireTLS && !errors.As(err, &lost) {
		return lacking(target, needsTLS, err)
	}
	return hostError(target, mail.Enhanced{4, 7, 5}, "TLS failed", fmt.Errorf("%w: %w", errTLS, err))
}

// promised reports whether the host keeps what target asks for, now that it has
// said EHLO inside TLS.
func (c *Conn) promised(target Target) error {
	if target.RequireTLS && !c.ext.requireTLS {
		r := needsRequireTLS
		return &HostError{Host: target.Host, Address: target.Addr.String(), Reply: r}
	}
	return nil
}

// verifier returns a function that says whether the certificate of a connection is
// the host's. An opportunistic connection was made without looking at it; it is
// looked at when somebody asks.
func (c *Client) verifier(target Target, state tls.ConnectionState) func() bool {
	if target.TLS == TLSRequired {
		return func() bool { return true }
	}
	return sync.OnceValue(func() bool {
		if len(state.PeerCertificates) == 0 {
			return false
		}
		o := x509.VerifyOptions{Roots: c.o.TLS.RootCAs, DNSName: target.name(), Intermediates: x509.NewCertPool()}
		for _, cert := range state.PeerCertificates[1:] {
			o.Intermediates.AddCert(cert)
		}
		_, err := state.PeerCertificates[0].Verify(o)
		return err == nil
	})
}

// mayRequireTLS reports whether REQUIRETLS may be said here.
func (c *Conn) mayRequireTLS() bool { return c.ext.requireTLS && c.verify != nil && c.verify() }
