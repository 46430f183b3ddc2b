// SPDX-License-Identifier: Apache-2.0

package tlsconf

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/hashicorp/go-hclog"
	"go.uber.org/zap"
)

// ACMEOptions say which authority issues certificates, and how it sees that names
// are ours (RFC 8555).
type ACMEOptions struct {
	Directory string // URL of the authority
	Roots     string // PEM file with the authorities of that URL; empty: the system's
	Email     string // where the authority writes to; empty: nowhere
	HTTP      string // host:port at which HTTP-01 is answered; empty: it is not
	TLSALPN   string // host:port at which TLS-ALPN-01 is answered (RFC 8737); empty: it is not
	Dir       string // folder for keys and certificates
	Logger    hclog.Logger
	// CheckEvery is how often is looked whether a certificate is to be renewed;
	// 0: every ten minutes.
	CheckEvery time.Duration
	// Told is told when the certificate for a name ends, as one is there, or why an
	// attempt to get one failed. It is called by many goroutines, and may be nil.
	Told func(name string, ends time.Time, err error)
}

// ACME obtains certificates and renews them, in goroutines of its own that end with
// Close. A challenge's address is listened at only while a challenge goes on.
type ACME struct {
	o      ACMEOptions
	config *certmagic.Config
	cache  *certmagic.Cache
	ctx    context.Context //nolint:containedctx // of its goroutines
	cancel context.CancelFunc
}

// NewACME starts nothing yet.
func NewACME(o ACMEOptions) (*ACME, error) {
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, err
	}
	issuer, err := o.issuer()
	if err != nil {
		return nil, err
	}
	a := &ACME{o: o}
	a.ctx, a.cancel = context.WithCancel(context.Background())
	logger := zap.New(zapCore{o.Logger})
	a.cache = certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) { return a.config, nil }, Logger: logger,
		RenewCheckInterval: o.CheckEvery,
	})
	a.config = certmagic.New(a.cache, certmagic.Config{Storage: &certmagic.FileStorage{Path: o.Dir}, Logger: logger, OnEvent: a.event})
	issuer.Logger = logger
	a.config.Issuers = []certmagic.Issuer{certmagic.NewACMEIssuer(a.config, issuer)}
	return a, nil
}

// issuer is the authority as certmagic has it.
func (o *ACMEOptions) issuer() (certmagic.ACMEIssuer, error) {
	i := certmagic.ACMEIssuer{
		CA: o.Directory, TestCA: o.Directory, Email: o.Email, Agreed: true,
		DisableHTTPChallenge: o.HTTP == "", DisableTLSALPNChallenge: o.TLSALPN == "", DisableDistributedSolvers: true,
	}
	if o.HTTP == "" && o.TLSALPN == "" {
		return i, errors.New("the authority has no way to see that a name is ours")
	}
	var err1, err2, err3 error
	if o.HTTP != "" {
		i.ListenHost, i.AltHTTPPort, err1 = hostPort(o.HTTP)
	}
	if o.TLSALPN != "" {
		i.ListenHost, i.AltTLSALPNPort, err2 = hostPort(o.TLSALPN)
	}
	if o.Roots != "" {
		i.TrustedRoots, err3 = roots(o.Roots)
	}
	return i, errors.Join(err1, err2, err3, o.oneHost())
}

// oneHost is an error where the challenges are answered at two hosts, for certmagic
// listens at one.
func (o *ACMEOptions) oneHost() error {
	a, _, err1 := net.SplitHostPort(o.HTTP)
	b, _, err2 := net.SplitHostPort(o.TLSALPN)
	if err1 == nil && err2 == nil && a != b {
		return fmt.Errorf("the challenges are answered at two hosts, %q and %q", a, b)
	}
	return nil
}

func hostPort(address string) (host string, port int, err error) {
	host, p, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, err
	}
	port, err = strconv.Atoi(p)
	return host, port, err
}

func roots(path string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate in PEM", path)
	}
	return pool, nil
}

// Manage has certificates obtained and renewed for names, in the background. It may
// be called again with more.
func (a *ACME) Manage(names []string) error { return a.config.ManageAsync(a.ctx, names) }

// Certificate returns the certificate for the name that a client asks for, or for
// the first of names when that has none; nil while there is none.
func (a *ACME) Certificate(hello *tls.ClientHelloInfo, names []string) *tls.Certificate {
	for _, name := range append([]string{hello.ServerName}, names...) {
		for _, c := range a.cache.AllMatchingCertificates(name) {
			if hello.SupportsCertificate(&c.Certificate) == nil || len(c.Certificate.Certificate) > 0 && name != hello.ServerName {
				return &c.Certificate
			}
		}
	}
	return nil
}

// event hears what certmagic does. An error from here would stop it.
func (a *ACME) event(ctx context.Context, event string, data map[string]any) error {
	name, _ := data["identifier"].(string)
	switch event {
	case "cert_failed":
		err, _ := data["error"].(error)
		a.tell(name, time.Time{}, err)
	case "cert_obtained":
		path, _ := data["certificate_path"].(string)
		ends, err := a.stored(ctx, path)
		a.o.Logger.Info("a certificate was issued", "name", name, "ends", ends.Format(time.RFC3339))
		a.tell(name, ends, err)
	case "cached_managed_cert":
		names, _ := data["sans"].([]string)
		a.cached(names)
	}
	return nil
}

// cached tells of certificates that are in use from now on.
func (a *ACME) cached(names []string) {
	for _, name := range names {
		for _, c := range a.cache.AllMatchingCertificates(name) {
			a.tell(name, c.Leaf.NotAfter, nil)
		}
	}
}

// stored returns when a certificate that was kept ends.
func (a *ACME) stored(ctx context.Context, path string) (ends time.Time, err error) {
	chain, err := a.config.Storage.Load(ctx, path)
	if err != nil {
		return ends, err
	}
	block, _ := pem.Decode(chain)
	if block == nil {
		return ends, fmt.Errorf("%s holds no certificate in PEM", path)
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return ends, err
	}
	return c.NotAfter, nil
}

func (a *ACME) tell(name string, ends time.Time, err error) {
	if a.o.Told != nil {
		a.o.Told(name, ends, err)
	}
}

// Close ends what goes on.
func (a *ACME) Close() error {
	a.cancel()
	a.cache.Stop()
	return nil
}
