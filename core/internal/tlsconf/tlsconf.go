// SPDX-License-Identifier: Apache-2.0

// Package tlsconf answers which certificate: it makes the tls.Config of a listener
// from files, and follows the files as they change.
package tlsconf

import (
	"cmp"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

// Pair is a certificate with its chain, and its private key: PEM files.
type Pair struct{ Cert, Key string }

// What clients are asked for.
const (
	ClientsNone    = "none"    // no certificate
	ClientsRequest = "request" // one, if they have it; a wrong one is refused
	ClientsRequire = "require" // one, or there is no connection
)

// Options say what a listener's TLS is.
type Options struct {
	Pairs      []Pair                          // the first one is for clients that name no host, or one that no pair has
	SelfSigned func() (tls.Certificate, error) // asked where there are no pairs, and again before what it gave ends
	// Managed is asked first, and answers nil while it has no certificate. It may
	// be nil.
	Managed    func(hello *tls.ClientHelloInfo) *tls.Certificate
	MinVersion uint16 // 0: TLS 1.2
	Clients    string // empty: ClientsNone
	ClientCA   string // PEM file with the authorities of client certificates
	Now        func() time.Time
	Logger     hclog.Logger
	// Loaded is told when the certificate that ends first ends, whenever files were
	// read, and whether they could be. It may be nil.
	Loaded func(ends time.Time, err error)
}

// checkEvery is how often the files are looked at, at most: by the handshake that
// comes next.
const checkEvery = time.Second

// ticketsFor is how long the key of session tickets is in use; tickets that it made
// are taken for as long again.
const ticketsFor = 24 * time.Hour

// Source makes configurations. Its tickets are good for it alone. It is used by
// many handshakes at once.
type Source struct {
	o Options

	mu      sync.Mutex
	now     *tls.Config
	ends    time.Time // of the certificate that ends first
	files   []stamp
	checked time.Time
	keyed   time.Time // when the newest ticket key was made
	keys    [][32]byte
	failed  string // the last fault that was logged
}

// stamp tells a file from what it was before.
type stamp struct {
	size  int64
	mtime time.Time
}

// New reads the files.
func New(o Options) (*Source, error) {
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	s := &Source{o: o}
	if s.o.Now == nil {
		s.o.Now = time.Now
	}
	s.checked = s.o.Now()
	s.files = s.stamps()
	return s, s.load()
}

// Config returns the configuration for the connections of a listener. It stays
// good as the files change.
func (s *Source) Config() *tls.Config {
	return &tls.Config{
		MinVersion:         cmp.Or(s.o.MinVersion, tls.VersionTLS12), // each connection has its own
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return s.current(), nil },
	}
}

// current returns the configuration for a handshake that begins.
func (s *Source) current() *tls.Config {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.o.Now()
	if now.Sub(s.checked) >= checkEvery || now.Before(s.checked) {
		s.checked = now
		s.follow()
	}
	if now.Sub(s.keyed) >= ticketsFor {
		s.rekey(s.now)
	}
	return s.now
}

// follow reads the files again if one has changed. A pair that cannot be used
// leaves all as it was, and is logged once.
func (s *Source) follow() {
	now := s.stamps()
	if same(now, s.files) && !s.overdue() {
		return
	}
	s.files = now
	err := s.load()
	switch {
	case err == nil:
		s.failed = ""
		s.o.Logger.Info("certificates were read again")
	case err.Error() != s.failed:
		s.failed = err.Error()
		s.o.Logger.Error("certificates cannot be used, those of before stay", "error", err)
	}
}

// overdue reports whether a certificate of our own is to be made anew.
func (s *Source) overdue() bool {
	return len(s.o.Pairs) == 0 && s.ends.Sub(s.o.Now()) < selfSignedBefore
}

func same(a, b []stamp) bool {
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return len(a) == len(b)
}

// stamps looks at all files. One that is not there has the zero stamp.
func (s *Source) stamps() []stamp {
	var all []stamp
	for _, path := range s.paths() {
		var now stamp
		if info, err := os.Stat(path); err == nil {
			now = stamp{info.Size(), info.ModTime()}
		}
		all = append(all, now)
	}
	return all
}

func (s *Source) paths() []string {
	var all []string
	for _, p := range s.o.Pairs {
		all = append(all, p.Cert, p.Key)
	}
	if s.o.ClientCA != "" {
		all = append(all, s.o.ClientCA)
	}
	return all
}

// load reads the files and makes the configuration. Tickets of before are worth
// nothing then: they would carry a client past a certificate that is gone, or an
// authority that is not trusted any more.
func (s *Source) load() error {
	c, ends, err := s.config()
	if s.o.Loaded != nil {
		s.o.Loaded(ends, err)
	}
	if err != nil {
		return err
	}
	s.keys = nil
	s.rekey(c)
	s.now, s.ends = c, ends
	return nil
}

// rekey makes a new key for tickets. The one before is taken for as long again.
func (s *Source) rekey(c *tls.Config) {
	var key [32]byte
	_, _ = rand.Read(key[:]) // it never fails
	s.keys = append([][32]byte{key}, s.keys[:min(1, len(s.keys))]...)
	s.keyed = s.o.Now()
	c.SetSessionTicketKeys(s.keys)
}

// config makes a configuration from the files as they are. ends is when the first
// of the certificates does.
func (s *Source) config() (c *tls.Config, ends time.Time, err error) {
	c = &tls.Config{MinVersion: cmp.Or(s.o.MinVersion, tls.VersionTLS12), CipherSuites: suites()} //nolint:gosec // 1.2 at least
	pairs, err := s.pairs()
	if err != nil {
		return nil, ends, err
	}
	for _, pair := range pairs {
		if ends.IsZero() || pair.Leaf.NotAfter.Before(ends) {
			ends = pair.Leaf.NotAfter
		}
		c.Certificates = append(c.Certificates, pair)
	}
	s.managed(c)
	return c, ends, s.clients(c)
}

// managed has Managed asked before the certificates that are there, also for
// clients that name no host, for which Go would not ask.
func (s *Source) managed(c *tls.Config) {
	if s.o.Managed == nil {
		return
	}
	others := c.Certificates
	c.Certificates = nil
	c.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		if own := s.o.Managed(hello); own != nil {
			return own, nil
		}
		for i := range others {
			if hello.SupportsCertificate(&others[i]) == nil {
				return &others[i], nil
			}
		}
		return &others[0], nil
	}
}

// pairs returns the certificates, one at least.
func (s *Source) pairs() ([]tls.Certificate, error) {
	var all []tls.Certificate
	for _, p := range s.o.Pairs {
		pair, err := readPair(p)
		if err != nil {
			return nil, err
		}
		all = append(all, pair)
	}
	if len(all) == 0 && s.o.SelfSigned != nil {
		own, err := s.o.SelfSigned()
		return []tls.Certificate{own}, err
	}
	if len(all) == 0 {
		return nil, errors.New("no certificate is named")
	}
	return all, nil
}

// suites are those of TLS 1.2: all that Go calls secure and that authenticate what
// they encrypt. TLS 1.3 has no others.
func suites() []uint16 {
	var all []uint16
	for _, s := range tls.CipherSuites() {
		if strings.Contains(s.Name, "_GCM_") || strings.Contains(s.Name, "_CHACHA20_") {
			all = append(all, s.ID)
		}
	}
	return all
}

func readPair(p Pair) (tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(p.Cert, p.Key)
	if err != nil {
		return pair, fmt.Errorf("certificate %s with key %s: %w", p.Cert, p.Key, err)
	}
	return pair, nil
}

// clients says what clients are asked for.
func (s *Source) clients(c *tls.Config) error {
	switch s.o.Clients {
	case ClientsRequest:
		c.ClientAuth = tls.VerifyClientCertIfGiven
	case ClientsRequire:
		c.ClientAuth = tls.RequireAndVerifyClientCert
	default:
		return nil
	}
	pem, err := os.ReadFile(s.o.ClientCA)
	if err != nil {
		return fmt.Errorf("authorities of client certificates: %w", err)
	}
	c.ClientCAs = x509.NewCertPool()
	if !c.ClientCAs.AppendCertsFromPEM(pem) {
		return fmt.Errorf("authorities of client certificates: %s holds no certificate in PEM", s.o.ClientCA)
	}
	return nil
}
