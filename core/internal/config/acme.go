// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"net"
	"net/url"
)

// ACME is an authority that issues certificates by itself (RFC 8555).
type ACME struct {
	Name      string
	Directory string // URL
	Roots     string // absolute path of a PEM file; empty: the system's authorities
	Email     string // empty: none
	HTTP      string // host:port; empty: no HTTP-01
	TLSALPN   string // host:port; empty: no TLS-ALPN-01
	Pos       Pos
}

func acmeSpec() *blockSpec {
	return &blockSpec{
		name: "acme", labels: []string{"name"}, count: many, example: acmeExample,
		doc: "An authority that issues certificates by itself, such as Let's Encrypt. Keys and certificates are kept in data_dir/acme. It looks for the answer to a challenge at port 80 or 443 of each name; that address is listened at only while a challenge goes on.",
		args: []argSpec{
			{"directory", directoryKind(), `"https://acme-v02.api.letsencrypt.org/directory"`, false, "Where the authority is: https."},
			{"agreed", boolKind(), ``, true, "Whether you agree to its terms; without that it issues nothing."},
			{"email", mailboxKind(), ``, false, "Where it writes to when something is wrong."},
			{"http", listenKind(), `""`, false, "Where HTTP-01 is answered, such as \":80\"; \"\" for not at all."},
			{"tls_alpn", listenKind(), `""`, false, "Where TLS-ALPN-01 is answered, such as \":443\"; \"\" for not at all."},
			{"roots", fileKind(), ``, false, "PEM file with the authorities of the directory's own certificate; the system's if left out."},
		},
	}
}

func directoryKind() kind {
	return textKind("URL", `a URL, such as "https://acme.example.org/directory"`, func(s string) error {
		u, err := url.Parse(s)
		if err != nil || u.Scheme != "https" || u.Host == "" {
			return fmt.Errorf("%q is no https URL", s)
		}
		return nil
	})
}

// hostOf returns the host of host:port.
func hostOf(address string) string {
	host, _, _ := net.SplitHostPort(address) // its kind has checked it
	return host
}

// authorities reads the acme blocks.
func (d *decoder) authorities(c *Config, root *node) {
	for _, n := range root.children("acme") {
		a := ACME{
			Name: n.name(), Directory: arg[string](n, "directory"), Roots: arg[string](n, "roots"), Email: arg[string](n, "email"),
			HTTP: arg[string](n, "http"), TLSALPN: arg[string](n, "tls_alpn"), Pos: d.pos(n.rng),
		}
		switch {
		case n.has("agreed") && !arg[bool](n, "agreed"):
			d.fault(n.args["agreed"].rng, "without your agreement the authority issues nothing", "read its terms, and say agreed = true")
		case a.HTTP == "" && a.TLSALPN == "":
			d.fault(n.rng, fmt.Sprintf("acme %q has no way to show that a name is yours", a.Name), `expected http = ":80" or tls_alpn = ":443"`)
		case a.HTTP != "" && a.TLSALPN != "" && hostOf(a.HTTP) != hostOf(a.TLSALPN):
			d.fault(n.args["tls_alpn"].rng, "http and tls_alpn are at two hosts", "expected the same host for both, such as \":80\" and \":443\"")
		}
		c.ACME = append(c.ACME, a)
	}
}
