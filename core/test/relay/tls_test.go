// SPDX-License-Identifier: Apache-2.0

package relay_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postroad-mail/postroad/core/relay"
)

// secure is a client above TLS, from the first octet.
func (g *rig) secure(listener string, config *tls.Config) *client {
	g.t.Helper()
	conn, err := tls.Dial("tcp", g.r.Addr(listener).String(), config)
	if err != nil {
		g.t.Fatal(err)
	}
	c := &client{g.t, textproto.NewConn(conn)}
	g.t.Cleanup(func() { c.c.Close() })
	c.expect(220)
	c.cmd(250, "EHLO client.test")
	return c
}

// TestTheGatewayTakesMailOfUsers runs examples/gateway.hcl with its three doors.
func TestTheGatewayTakesMailOfUsers(t *testing.T) {
	env := map[string]string{
		"POSTROAD_LISTEN": "127.0.0.1:0", "POSTROAD_ADMIN": "", "POSTROAD_SUBMISSION": "127.0.0.1:0", "POSTROAD_SMTPS": "127.0.0.1:0",
		"POSTROAD_USER": "ann", "POSTROAD_PASSWORD": "pencil",
	}
	g := &rig{t: t, sink: newSink(t), clock: relay.NewFakeClock(time.Now()), ended: make(chan error, 1)}
	r, err := relay.Open(context.Background(), relay.Options{
		ConfigFile: "../../../examples/gateway.hcl", InMemory: true, DataDir: t.TempDir(), Clock: g.clock, LogOutput: t.Output(),
		Env: func(name string) (string, bool) { v, ok := env[name]; return v, ok },
	})
	if err != nil {
		t.Fatal(err)
	}
	g.run(r)
	c := g.dial() // at the door for strangers
	if list := c.cmd(250, "EHLO client.test"); strings.Contains(list, "AUTH") || !strings.Contains(list, "STARTTLS") {
		t.Errorf("strangers are offered %q", list)
	}
	c.cmd(250, "MAIL FROM:<a@far.test>")
	c.cmd(250, "RCPT TO:<b@example.test>")
	c.cmd(554, "RCPT TO:<b@far.test>")
	s := g.secure("smtps", &tls.Config{InsecureSkipVerify: true})
	s.cmd(530, "MAIL FROM:<a@here.test>")
	s.cmd(535, "AUTH PLAIN %s", plain("ann", "pencils"))
	s.cmd(235, "AUTH PLAIN %s", plain("ann", "pencil"))
	s.cmd(250, "MAIL FROM:<a@here.test>")
	s.cmd(250, "RCPT TO:<b@far.test>")
}

// TestMailInTheClearIsRefused where the listener wants TLS.
func TestMailInTheClearIsRefused(t *testing.T) {
	g := newRig(t, base("", "listener: tls {\nlistener: self_signed = true\nlistener: required = true\nlistener: }"), nil)
	c := g.dial()
	c.cmd(530, "MAIL FROM:<a@here.test>")
	c.cmd(220, "STARTTLS")
}

// clientCertificate makes a certificate that is its own authority, and returns it
// with the path of its PEM file.
func clientCertificate(t *testing.T, name string) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), name+".pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, path
}

// TestACertificateLogsIn by EXTERNAL: whom it names, and nobody else.
func TestACertificateLogsIn(t *testing.T) {
	cert, authority := clientCertificate(t, "client.test")
	for _, c := range []struct {
		name, user string
		as         string
		code       int
	}{
		{"by its name", `names = ["client.test"]`, "=", 235},
		{"by its fingerprint", fmt.Sprintf("sha256 = [%q]", fingerprint(cert)), "=", 235},
		{"as itself", `names = ["client.test"]`, "aG9zdA==", 235},    // host
		{"as somebody else", `names = ["client.test"]`, "Ym9i", 535}, // bob
		{"another's certificate", `names = ["other.test"]`, "=", 535},
	} {
		t.Run(c.name, func(t *testing.T) {
			users := "users \"staff\" {\n certificates {\n  user \"host\" {\n   " + c.user + "\n  }\n }\n}\n"
			conf := fmt.Sprintf("listener: tls {\nlistener: self_signed = true\nlistener: mode = \"implicit\"\nlistener: client_certs = \"request\"\nlistener: client_ca = %q\nlistener: }\n", authority)
			g := newRig(t, submission("", conf+users), nil)
			s := g.secure("in", &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{cert}})
			s.cmd(c.code, "AUTH EXTERNAL %s", c.as)
			none := g.secure("in", &tls.Config{InsecureSkipVerify: true})
			if list := none.cmd(250, "EHLO client.test"); strings.Contains(list, "EXTERNAL") {
				t.Errorf("without a certificate there is %q", list)
			}
		})
	}
}

func fingerprint(c tls.Certificate) string {
	sum := sha256.Sum256(c.Certificate[0])
	return hex.EncodeToString(sum[:])
}

// TestAnAuthorityThatIsDownStopsNothing: the relay starts, and has a certificate of
// its own meanwhile.
func TestAnAuthorityThatIsDownStopsNothing(t *testing.T) {
	conf := "listener: tls {\nlistener: acme = acme.down\nlistener: mode = \"implicit\"\nlistener: }\n"
	g := newRig(t, base("", conf+"acme \"down\" {\n agreed = true\n directory = \"https://127.0.0.1:1/directory\"\n http = \"127.0.0.1:0\"\n}\n"), nil)
	s := g.secure("in", &tls.Config{InsecureSkipVerify: true})
	s.send(250, "a@here.test", hello, "b@far.test")
	if err := g.r.Reload(context.Background()); err != nil {
		t.Error(err)
	}
	g.secure("in", &tls.Config{InsecureSkipVerify: true}).send(250, "a@here.test", hello, "b@far.test")
	wait(t, g, 2)
}
