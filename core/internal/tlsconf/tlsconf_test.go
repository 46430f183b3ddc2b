// SPDX-License-Identifier: Apache-2.0

package tlsconf

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// authority signs certificates.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	a.key = newKey(t)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * 365 * time.Hour)}
	a.cert = a.signed(template, template, &a.key.PublicKey)
	a.write("ca.pem", "CERTIFICATE", a.cert.Raw)
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (a *authority) signed(template, parent *x509.Certificate, key *ecdsa.PublicKey) *x509.Certificate {
	a.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return c
}

func (a *authority) write(name, what string, der []byte) string {
	a.t.Helper()
	path := filepath.Join(a.dir, name)
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: what, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
	return path
}

// pair writes a certificate for a host, by the file's name.
func (a *authority) pair(file, host string) Pair {
	a.t.Helper()
	key := newKey(a.t)
	serial, _ := rand.Int(rand.Reader, big.NewInt(1<<62))
	c := a.signed(&x509.Certificate{SerialNumber: serial, DNSNames: []string{host}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(90 * 24 * time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}, a.cert, &key.PublicKey)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	return Pair{a.write(file+".pem", "CERTIFICATE", c.Raw), a.write(file+".key", "PRIVATE KEY", der)}
}

func (a *authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

// shake does one handshake and an exchange of octets behind it, so that a ticket
// comes, and returns what the client saw.
func shake(t *testing.T, server, client *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	done := make(chan error, 1)
	go func() {
		raw, err := l.Accept()
		if err != nil {
			done <- err
			return
		}
		defer raw.Close()
		c := tls.Server(raw, server)
		_, err = c.Write([]byte("hello")) // with the handshake before it
		_, _ = io.Copy(io.Discard, c)
		done <- err
	}()
	c, err := tls.Dial("tcp", l.Addr().String(), client)
	if err == nil {
		_, err = io.ReadFull(c, make([]byte, 5))
		c.Close()
	}
	err = errors.Join(err, <-done)
	if c == nil {
		return tls.ConnectionState{}, err
	}
	return c.ConnectionState(), err
}

// clock can be moved on.
type clock struct{ now time.Time }

func (c *clock) Now() time.Time { return c.now }

func serial(s tls.ConnectionState) string {
	if len(s.PeerCertificates) == 0 {
		return ""
	}
	return s.PeerCertificates[0].SerialNumber.String()
}

func TestTheCertificateOfTheHostThatTheClientNames(t *testing.T) {
	a := newAuthority(t)
	s, err := New(Options{Pairs: []Pair{a.pair("one", "one.test"), a.pair("two", "two.test")}})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"one.test": "one.test", "two.test": "two.test", "three.test": "one.test", "": "one.test"} {
		st, err := shake(t, s.Config(), &tls.Config{ServerName: name, InsecureSkipVerify: true})
		if err != nil || st.PeerCertificates[0].DNSNames[0] != want {
			t.Errorf("%q: %v, %v", name, err, st.PeerCertificates)
		}
	}
	if _, err := shake(t, s.Config(), &tls.Config{ServerName: "two.test", RootCAs: a.pool()}); err != nil {
		t.Errorf("a client that verifies: %v", err)
	}
}

func TestFilesAreFollowed(t *testing.T) {
	a, at := newAuthority(t), &clock{time.Now()}
	var told []string
	loaded := func(_ time.Time, err error) {
		told = append(told, map[bool]string{true: "good", false: "bad"}[err == nil])
	}
	p := a.pair("one", "one.test")
	s, err := New(Options{Pairs: []Pair{p}, Now: at.Now, Loaded: loaded})
	if err != nil {
		t.Fatal(err)
	}
	c := s.Config()
	see := func() string {
		t.Helper()
		at.now = at.now.Add(checkEvery)
		st, err := shake(t, c, &tls.Config{ServerName: "one.test", RootCAs: a.pool()})
		if err != nil {
			t.Fatal(err)
		}
		return serial(st)
	}
	first := see()
	if see() != first {
		t.Error("another certificate without a change")
	}
	other := a.pair("other", "one.test")
	copyFile(t, other.Cert, p.Cert)
	if see() != first {
		t.Error("half of a pair is used")
	}
	copyFile(t, other.Key, p.Key)
	second := see()
	if second == first {
		t.Error("a new pair is not used")
	}
	if err := os.Remove(p.Cert); err != nil {
		t.Fatal(err)
	}
	if see() != second {
		t.Error("without its file the certificate is gone")
	}
	if got := strings.Join(told, " "); got != "good bad good bad" {
		t.Errorf("told %s", got)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, b, 0o600)
	}
	if err == nil { // sure to differ, however coarse the clock of the disk
		err = os.Chtimes(to, time.Time{}, time.Now().Add(time.Duration(len(b))*time.Second))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestTicketsAreForOneListener: a ticket of one listener resumes no session with
// another, nor with the same one when its certificate was changed.
func TestTicketsAreForOneListener(t *testing.T) {
	a, at := newAuthority(t), &clock{time.Now()}
	p := a.pair("one", "one.test")
	open := func() *tls.Config {
		s, err := New(Options{Pairs: []Pair{p}, Now: at.Now})
		if err != nil {
			t.Fatal(err)
		}
		return s.Config()
	}
	one, two := open(), open()
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		client := &tls.Config{ServerName: "one.test", RootCAs: a.pool(), ClientSessionCache: tls.NewLRUClientSessionCache(8), MaxVersion: version}
		resumed := func(server *tls.Config) bool {
			t.Helper()
			st, err := shake(t, server, client)
			if err != nil {
				t.Fatal(err)
			}
			return st.DidResume
		}
		if resumed(one) || !resumed(one) {
			t.Errorf("%x: a session is not resumed with the same listener", version)
		}
		at.now = at.now.Add(ticketsFor)
		if !resumed(one) {
			t.Errorf("%x: a ticket of yesterday is not taken", version)
		}
		if resumed(two) {
			t.Errorf("%x: a ticket of one listener is taken by another", version)
		}
		resumed(one)
		other := a.pair("other", "one.test")
		copyFile(t, other.Cert, p.Cert)
		copyFile(t, other.Key, p.Key)
		at.now = at.now.Add(checkEvery)
		if resumed(one) {
			t.Errorf("%x: a ticket outlives the certificate", version)
		}
	}
}

func TestCertificatesOfClients(t *testing.T) {
	a, stranger := newAuthority(t), newAuthority(t)
	server := a.pair("server", "one.test")
	for _, c := range []struct {
		clients string
		signer  *authority // of the client's certificate; nil: none
		good    bool
		chains  int
	}{
		{ClientsNone, nil, true, 0}, {ClientsNone, a, true, 0},
		{ClientsRequest, nil, true, 0}, {ClientsRequest, a, true, 1}, {ClientsRequest, stranger, false, 0},
		{ClientsRequire, nil, false, 0}, {ClientsRequire, a, true, 1}, {ClientsRequire, stranger, false, 0},
	} {
		s, err := New(Options{Pairs: []Pair{server}, Clients: c.clients, ClientCA: filepath.Join(a.dir, "ca.pem")})
		if err != nil {
			t.Fatal(err)
		}
		client, chains := &tls.Config{ServerName: "one.test", RootCAs: a.pool()}, 0
		if c.signer != nil {
			pair, err := readPair(c.signer.pair("client", "client.test"))
			if err != nil {
				t.Fatal(err)
			}
			client.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
		}
		config := s.Config()
		inner := s.current()
		inner.VerifyConnection = func(st tls.ConnectionState) error { chains = len(st.VerifiedChains); return nil }
		_, err = shake(t, config, client)
		if (err == nil) != c.good || chains != c.chains {
			t.Errorf("%s, %v: %v, %d chains", c.clients, c.signer != nil, err, chains)
		}
	}
}

func TestOldVersionsAreRefused(t *testing.T) {
	a := newAuthority(t)
	for _, c := range []struct {
		least, most uint16
		good        bool
	}{{0, tls.VersionTLS11, false}, {0, tls.VersionTLS12, true}, {tls.VersionTLS13, tls.VersionTLS12, false}, {tls.VersionTLS13, tls.VersionTLS13, true}} {
		s, err := New(Options{Pairs: []Pair{a.pair("one", "one.test")}, MinVersion: c.least})
		if err != nil {
			t.Fatal(err)
		}
		_, err = shake(t, s.Config(), &tls.Config{ServerName: "one.test", RootCAs: a.pool(), MinVersion: tls.VersionTLS10, MaxVersion: c.most})
		if (err == nil) != c.good {
			t.Errorf("%x with %x at least: %v", c.most, c.least, err)
		}
	}
}

func TestFaultsNameTheFile(t *testing.T) {
	a := newAuthority(t)
	p := a.pair("one", "one.test")
	text := a.write("text.pem", "TEXT", []byte("x"))
	for _, c := range []struct {
		o    Options
		want string
	}{
		{Options{}, "no certificate is named"},
		{Options{Pairs: []Pair{{p.Cert + ".none", p.Key}}}, "one.pem.none"},
		{Options{Pairs: []Pair{{p.Cert, a.pair("two", "two.test").Key}}}, "one.pem"},
		{Options{Pairs: []Pair{p}, Clients: ClientsRequire, ClientCA: p.Cert + ".none"}, "authorities of client certificates"},
		{Options{Pairs: []Pair{p}, Clients: ClientsRequire, ClientCA: text}, "holds no certificate"},
	} {
		if _, err := New(c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
}

func TestACertificateOfOurOwn(t *testing.T) {
	dir, at := filepath.Join(t.TempDir(), "tls"), &clock{time.Now()}
	own := func(host string) func() (tls.Certificate, error) {
		return func() (tls.Certificate, error) { c, _, err := SelfSigned(dir, host, at.Now()); return c, err }
	}
	s, err := New(Options{SelfSigned: own("mx.test"), Now: at.Now})
	if err != nil {
		t.Fatal(err)
	}
	see := func(s *Source) string {
		t.Helper()
		at.now = at.now.Add(checkEvery)
		st, err := shake(t, s.Config(), &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		return serial(st)
	}
	first := see(s)
	again, err := New(Options{SelfSigned: own("mx.test"), Now: at.Now})
	if err != nil || see(again) != first {
		t.Errorf("after a start it is another one: %v", err)
	}
	other, err := New(Options{SelfSigned: own("other.test"), Now: at.Now})
	if err != nil || see(other) == first {
		t.Errorf("it is used for another name: %v", err)
	}
	at.now = at.now.Add(selfSignedFor - selfSignedBefore + time.Hour)
	if see(other) == first {
		t.Error("it is not made anew before it ends")
	}
	for _, name := range []string{".", "self-signed.pem", "self-signed.key"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
}
