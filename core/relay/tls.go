// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"crypto/tls"
	"fmt"
	"path/filepath"
	"slices"
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
func (r *Relay) loadTLS(c *config.Listener, conf *config.Config) (_ *tls.Config, err error) {
	if c.TLS == nil {
		return nil, nil
	}
	server := &conf.Server
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
	if c.TLS.ACME != "" {
		o.Managed, err = r.managed(c.TLS, conf)
		if err != nil {
			return nil, &kinded{ErrConfig, fmt.Errorf("%s: acme %q: %w", listenerName(c), c.TLS.ACME, err)}
		}
	}
	if c.TLS.SelfSigned || c.TLS.ACME != "" {
		o.SelfSigned = func() (tls.Certificate, error) { return r.selfSigned(server.Hostname, server.DataDir) }
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

// managed returns the certificates that an authority issues for a listener.
func (r *Relay) managed(t *config.TLS, conf *config.Config) (func(*tls.ClientHelloInfo) *tls.Certificate, error) {
	names := t.Names
	if len(names) == 0 {
		names = []string{conf.Server.Hostname}
	}
	a, err := r.authority(t.ACME, conf)
	if err == nil {
		err = a.Manage(names)
	}
	return func(hello *tls.ClientHelloInfo) *tls.Certificate { return a.Certificate(hello, names) }, err
}

// authority returns an acme block's. It is kept across reloads: what it has begun
// goes on.
func (r *Relay) authority(name string, conf *config.Config) (*tlsconf.ACME, error) {
	i := slices.IndexFunc(conf.ACME, func(a config.ACME) bool { return a.Name == name })
	c := conf.ACME[i] // config knows that it is there
	c.Pos = config.Pos{}
	r.acmeMu.Lock()
	defer r.acmeMu.Unlock()
	if a := r.acmes[c]; a != nil {
		return a, nil
	}
	a, err := tlsconf.NewACME(tlsconf.ACMEOptions{
		Directory: c.Directory, Roots: c.Roots, Email: c.Email, HTTP: c.HTTP, TLSALPN: c.TLSALPN,
		Dir: filepath.Join(conf.Server.DataDir, "acme"), Logger: r.log.Named("acme"), Told: r.metrics.Issued,
	})
	if err == nil {
		r.acmes[c] = a
	}
	return a, err
}

// closeAuthorities ends what authorities are asked for.
func (r *Relay) closeAuthorities() {
	r.acmeMu.Lock()
	defer r.acmeMu.Unlock()
	for _, a := range r.acmes {
		_ = a.Close() // it has no error
	}
	clear(r.acmes)
}
