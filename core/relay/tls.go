// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"crypto/tls"
	"fmt"
	"path/filepath"
	"time"

	"github.com/postroad-mail/postroad/core/internal/config"
	"github.com/postroad-mail/postroad/core/internal/tlsconf"
	"github.com/postroad-mail/postroad/core/mail"
)

// refusedClear is the reason of refusals of mail in the clear.
const refusedClear = "tls_required"

// endsSoon is how long before the end of a certificate the log warns.
const endsSoon = 14 * 24 * time.Hour

// loadTLS makes the TLS of a listener, nil where it has none.
func (r *Relay) loadTLS(c *config.Listener, hostname, dir string) (*tls.Config, error) {
	if c.TLS == nil {
		return nil, nil
	}
	o := tlsconf.Options{
		MinVersion: tls.VersionTLS12, Clients: c.TLS.Clients, ClientCA: c.TLS.ClientCA, Now: r.clock.Now,
		Logger: r.log.Named("tls").With("listener", c.Name), Loaded: r.certificates(c.Name),
	}
	if c.TLS.MinVersion == "1.3" {
		o.MinVersion = tls.VersionTLS13
	}
	for _, p := range c.TLS.Pairs {
		o.Pairs = append(o.Pairs, tlsconf.Pair(p))
	}
	if c.TLS.SelfSigned {
		o.SelfSigned = func() (tls.Certificate, error) { return r.selfSigned(hostname, dir) }
	}
	s, err := tlsconf.New(o)
	if err != nil {
		return nil, &kinded{ErrConfig, fmt.Errorf("%s: %w", listenerName(c), err)}
	}
	return s.Config(), nil
}

// selfSigned returns the relay's own certificate.
func (r *Relay) selfSigned(hostname, dataDir string) (tls.Certificate, error) {
	dir := filepath.Join(dataDir, "tls")
	if r.o.InMemory {
		dir = ""
	}
	c, made, err := tlsconf.SelfSigned(dir, hostname, r.clock.Now())
	if made {
		r.log.Warn("a self-signed certificate was made: it encrypts, but nobody can verify who we are", "hostname", hostname, "folder", dir)
	}
	return c, err
}

// certificates returns what is told when certificates of a listener were read.
func (r *Relay) certificates(listener string) func(ends time.Time, err error) {
	return func(ends time.Time, err error) {
		r.metrics.Certificates(listener, ends, err)
		if left := ends.Sub(r.clock.Now()); err == nil && left < endsSoon {
			r.log.Warn("a certificate ends soon", "listener", listener, "ends", ends.Format(time.RFC3339), "left", left.Round(time.Hour))
		}
	}
}

// mustEncrypt refuses MAIL in the clear where the listener wants TLS (RFC 3207 §4).
func mustEncrypt(l *config.Listener, c *mail.Client) *mail.Reply {
	if l.TLS == nil || !l.TLS.Required || c.TLSVersion != "" {
		return nil
	}
	return mail.NewReply(530, mail.Enhanced{5, 7, 0}, "must issue a STARTTLS command first")
}
