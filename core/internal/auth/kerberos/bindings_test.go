// SPDX-License-Identifier: Apache-2.0

package kerberos

import (
	"crypto/tls"
	"net"
	"net/netip"
	"testing"

	"github.com/postroad-mail/postroad/core/internal/auth"
	"github.com/postroad-mail/postroad/core/internal/testkit"
)

// handshake returns both sides' view of a TLS connection.
func handshake(t *testing.T, version uint16) (server, client tls.ConnectionState) {
	t.Helper()
	cert := testkit.NewCert(t, "mx.example.org")
	a, b := net.Pipe()
	t.Cleanup(func() { a.Close(); b.Close() })
	s := tls.Server(a, cert.ServerConfig())
	config := cert.ClientConfig("mx.example.org")
	config.MinVersion, config.MaxVersion = version, version
	c := tls.Client(b, config)
	done := make(chan error, 1)
	go func() { done <- s.Handshake() }()
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return s.ConnectionState(), c.ConnectionState()
}

func TestALoginIsBoundToItsConnection(t *testing.T) {
	path, kt := writeKeytab(t, aes256, 1, service+"@"+realm)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		server, client := handshake(t, version)
		other, _ := handshake(t, version)
		material, err := client.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32)
		data := map[string]string{"tls-exporter": "tls-exporter:" + string(must(t, material, err))}
		if version == tls.VersionTLS12 {
			data["tls-unique"] = "tls-unique:" + string(client.TLSUnique)
		}
		for kind, d := range data {
			for state, ok := range map[*tls.ConnectionState]bool{&server: true, &other: false, nil: false} {
				p := newParty(kt)
				copy(p.bindings[:], hashBinding(d))
				token, _ := p.first(t)
				peer := auth.Peer{Addr: netip.MustParseAddrPort("192.0.2.1:40000"), TLS: state}
				_, _, err := open(t, path, nil).Begin("GSSAPI", peer).Next(t.Context(), token)
				if ok != (err == nil) || err != nil && !isDenied(err) {
					t.Errorf("%s by %s, same connection %v: %v", kind, tls.VersionName(version), ok, err)
				}
			}
		}
	}
}
