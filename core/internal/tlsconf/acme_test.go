// SPDX-License-Identifier: Apache-2.0

package tlsconf

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"

	"github.com/postroad-mail/postroad/core/internal/testkit"
)

// acmeServer is Pebble, the ACME server for tests, which looks for the answers to
// its challenges at these ports of the hosts that a name server names.
func acmeServer(t *testing.T, dns string, httpPort, tlsPort int, lifetime time.Duration) (directory, roots string) {
	t.Helper()
	quiet := log.New(io.Discard, "", 0)
	store := db.NewMemoryStore()
	authority := ca.New(quiet, store, "", "ecdsa", 0, 1, map[string]ca.Profile{"default": {Description: "short", ValidityPeriod: uint64(lifetime.Seconds())}})
	server := wfe.New(quiet, store, va.New(quiet, httpPort, tlsPort, false, dns, store), authority, nil, false, false, 0, 0)
	mux := server.Handler()
	s := httptest.NewTLSServer(mux)
	t.Cleanup(s.Close)
	a := &authorityFile{t: t, dir: t.TempDir()}
	return s.URL + wfe.DirectoryPath, a.write("roots.pem", s.Certificate())
}

type authorityFile struct {
	t   *testing.T
	dir string
}

func (a *authorityFile) write(name string, c *x509.Certificate) string {
	return (&authority{t: a.t, dir: a.dir}).write(name, "CERTIFICATE", c.Raw)
}

func freePort(t *testing.T) (addr string, port int) {
	t.Helper()
	addr = testkit.FreeAddr(t)
	_, p, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	port, err = strconv.Atoi(p)
	if err != nil {
		t.Fatal(err)
	}
	return addr, port
}

// TestCertificatesComeFromAnAuthority, by each of the two challenges; until then
// the listener has what it has.
func TestCertificatesComeFromAnAuthority(t *testing.T) {
	t.Setenv("PEBBLE_VA_NOSLEEP", "1")
	t.Setenv("PEBBLE_WFE_NONCEREJECT", "0")
	dns := testkit.NewDNS(t, "mx.example.test. A 127.0.0.1\n")
	for _, challenge := range []string{"http-01", "tls-alpn-01"} {
		t.Run(challenge, func(t *testing.T) {
			httpAddr, httpPort := freePort(t)
			tlsAddr, tlsPort := freePort(t)
			o := ACMEOptions{HTTP: httpAddr, Dir: filepath.Join(t.TempDir(), "acme"), Logger: hclog.NewNullLogger()}
			if challenge == "tls-alpn-01" {
				o.HTTP, o.TLSALPN = "", tlsAddr
			}
			o.Directory, o.Roots = acmeServer(t, dns.Addr(), httpPort, tlsPort, 24*time.Hour)
			a, err := NewACME(o)
			if err != nil {
				t.Fatal(err)
			}
			defer a.Close()
			names := []string{"mx.example.test"}
			s, err := New(Options{Managed: func(h *tls.ClientHelloInfo) *tls.Certificate { return a.Certificate(h, names) },
				SelfSigned: func() (tls.Certificate, error) {
					c, _, err := SelfSigned("", "mx.example.test", time.Now())
					return c, err
				}})
			if err != nil {
				t.Fatal(err)
			}
			if issuer := issuerOf(t, s, ""); issuer != "mx.example.test" {
				t.Errorf("before there is a certificate, the issuer is %q", issuer)
			}
			if err := a.Manage(names); err != nil {
				t.Fatal(err)
			}
			for tries := 0; issuerOf(t, s, "mx.example.test") == "mx.example.test"; tries++ {
				if tries > 3000 {
					t.Fatal("no certificate comes")
				}
			}
			if issuer := issuerOf(t, s, ""); issuer == "mx.example.test" {
				t.Error("a client that names no host gets the certificate of our own")
			}
		})
	}
}

// issuerOf shakes hands and returns who has signed the certificate.
func issuerOf(t *testing.T, s *Source, name string) string {
	t.Helper()
	st, err := shake(t, s.Config(), &tls.Config{ServerName: name, InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	return st.PeerCertificates[0].Issuer.CommonName
}

// TestACertificateIsRenewed before it ends, and whoever connects gets the new one.
func TestACertificateIsRenewed(t *testing.T) {
	t.Setenv("PEBBLE_VA_NOSLEEP", "1")
	t.Setenv("PEBBLE_WFE_NONCEREJECT", "0")
	dns := testkit.NewDNS(t, "mx.example.test. A 127.0.0.1\n")
	addr, port := freePort(t)
	ends := make(chan time.Time, 100)
	o := ACMEOptions{HTTP: addr, Dir: filepath.Join(t.TempDir(), "acme"), Logger: hclog.NewNullLogger(), CheckEvery: 100 * time.Millisecond}
	o.Told = func(name string, at time.Time, err error) {
		if name != "mx.example.test" || err != nil {
			return // Close ends an attempt that goes on
		}
		select {
		case ends <- at:
		default:
		}
	}
	o.Directory, o.Roots = acmeServer(t, dns.Addr(), port, port, 5*time.Second)
	a, err := NewACME(o)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if err := a.Manage([]string{"mx.example.test"}); err != nil {
		t.Fatal(err)
	}
	first := <-ends
	for next := first; !next.After(first); next = <-ends {
	}
	for c := (*tls.Certificate)(nil); c == nil || !c.Leaf.NotAfter.After(first); {
		c = a.Certificate(&tls.ClientHelloInfo{}, []string{"mx.example.test"})
	}
}

// TestANameThatIsNotOurs: the authority says no, and whoever looks at the figures
// sees it.
func TestANameThatIsNotOurs(t *testing.T) {
	t.Setenv("PEBBLE_VA_NOSLEEP", "1")
	t.Setenv("PEBBLE_WFE_NONCEREJECT", "0")
	dns := testkit.NewDNS(t, "other.example.test. A 127.0.0.1\n")
	addr, port := freePort(t)
	failed := make(chan error, 100)
	o := ACMEOptions{HTTP: addr, Dir: filepath.Join(t.TempDir(), "acme"), Logger: hclog.NewNullLogger()}
	o.Told = func(_ string, _ time.Time, err error) {
		select {
		case failed <- err:
		default:
		}
	}
	o.Directory, o.Roots = acmeServer(t, dns.Addr(), port, port, time.Hour)
	a, err := NewACME(o)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if err := a.Manage([]string{"mx.example.test"}); err != nil {
		t.Fatal(err)
	}
	if err := <-failed; err == nil {
		t.Error("a certificate was issued for a name that leads nowhere")
	}
}

func TestChallengesAtTwoHosts(t *testing.T) {
	o := ACMEOptions{HTTP: "127.0.0.1:80", TLSALPN: "127.0.0.2:443", Dir: t.TempDir(), Logger: hclog.NewNullLogger()}
	if _, err := NewACME(o); err == nil {
		t.Error("one of them would be listened at where it was not asked for")
	}
}

func TestAnAuthorityThatCannotSee(t *testing.T) {
	if _, err := NewACME(ACMEOptions{Dir: t.TempDir(), Logger: hclog.NewNullLogger()}); err == nil {
		t.Error("without a challenge nothing can be obtained")
	}
}
