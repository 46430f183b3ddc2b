// SPDX-License-Identifier: Apache-2.0

package config

import "slices"

// TLS is how a listener encrypts. Paths are absolute, and of PEM files.
type TLS struct {
	Pairs      []CertPair // the first one is for clients that name no host; none: SelfSigned
	SelfSigned bool       // a certificate of the relay's own
	ACME       string     // name of the authority; empty: none. Until it has issued one, there is SelfSigned
	Names      []string   // of the certificate from there; the first one is for clients that name no host
	Implicit   bool       // from the first octet (RFC 8314), not by STARTTLS
	Required   bool       // MAIL is taken above TLS alone
	MinVersion string     // "1.2" or "1.3"
	Clients    string     // "none", "request" or "require": certificates of clients
	ClientCA   string     // the authorities that may sign those
}

// CertPair is a certificate with its chain, and its private key.
type CertPair struct{ Cert, Key string }

// Equal reports whether both say the same.
func (t *TLS) Equal(u *TLS) bool {
	if t == nil || u == nil {
		return t == u
	}
	a, b := *t, *u
	same := slices.Equal(a.Pairs, b.Pairs)
	a.Pairs, b.Pairs = nil, nil
	return same && slices.Equal(t.Names, u.Names) && a.ACME == b.ACME && a.Implicit == b.Implicit && a.SelfSigned == b.SelfSigned && a.Required == b.Required && a.MinVersion == b.MinVersion && a.Clients == b.Clients && a.ClientCA == b.ClientCA
}

func tlsSpec() *blockSpec {
	return &blockSpec{
		name: "tls", count: optional, doc: "How clients can encrypt. Without this block they cannot. Files are read again when they have changed.",
		args: []argSpec{
			{"cert", fileKind(), ``, false, "PEM file with the certificate and its chain."},
			{"key", fileKind(), ``, false, "PEM file with its private key."},
			{"self_signed", boolKind(), `false`, false, "Use a certificate that the relay makes for itself and keeps in data_dir/tls. It keeps out who listens, and nobody can verify it."},
			{"acme", refKind("acme"), ``, false, "The authority that issues the certificate. Until it has, and while it does not, the listener uses one of its own as with self_signed."},
			{"names", listKind[string](hostnameKind(), "list of host names"), `[]`, false, "Names for which acme issues; server.hostname if empty."},
			{"mode", enumKind("starttls", "implicit"), `"starttls"`, false, "Whether clients ask for it with STARTTLS, or begin with it, as on port 465."},
			{"required", boolKind(), `false`, false, "Mail is taken above TLS alone."},
			{"min_version", enumKind("1.2", "1.3"), `"1.2"`, false, "The oldest version of TLS."},
			{"client_certs", enumKind("none", "request", "require"), `"none"`, false, "Whether clients may, or must, show a certificate of an authority in client_ca."},
			{"client_ca", fileKind(), ``, false, "PEM file with the authorities of client certificates."},
		},
		blocks: []*blockSpec{{
			name: "certificate", count: many, doc: "One more certificate, for clients that ask for a host name in it (SNI).",
			args: []argSpec{
				{"cert", fileKind(), ``, true, "PEM file with the certificate and its chain."},
				{"key", fileKind(), ``, true, "PEM file with its private key."},
			},
		}},
	}
}

func (d *decoder) tls(n *node) *TLS {
	b := n.child("tls")
	if b == nil {
		return nil
	}
	t := &TLS{
		SelfSigned: arg[bool](b, "self_signed"), Implicit: arg[string](b, "mode") == "implicit", Required: arg[bool](b, "required"),
		ACME: arg[string](b, "acme"), Names: arg[[]string](b, "names"),
		MinVersion: arg[string](b, "min_version"), Clients: arg[string](b, "client_certs"), ClientCA: arg[string](b, "client_ca"),
	}
	if b.has("cert") || b.has("key") {
		t.Pairs = append(t.Pairs, CertPair{arg[string](b, "cert"), arg[string](b, "key")})
	}
	for _, c := range b.children("certificate") {
		t.Pairs = append(t.Pairs, CertPair{arg[string](c, "cert"), arg[string](c, "key")})
	}
	d.checkTLS(b, t)
	return t
}

func (d *decoder) checkTLS(b *node, t *TLS) {
	switch {
	case b.has("cert") != b.has("key"):
		d.fault(b.rng, "a certificate needs its key", "expected both cert and key")
	case t.ACME != "" && (t.SelfSigned || len(t.Pairs) > 0):
		d.fault(b.args["acme"].rng, "there is another certificate already", "take out acme, or self_signed, cert and key")
	case t.ACME == "" && len(t.Names) > 0:
		d.fault(b.args["names"].rng, "names are for certificates that acme issues", "expected acme = acme.NAME")
	case t.SelfSigned && len(t.Pairs) > 0:
		d.fault(b.args["self_signed"].rng, "there is a certificate already", "take out self_signed, or cert and key")
	case !t.SelfSigned && t.ACME == "" && len(t.Pairs) == 0:
		d.fault(b.rng, "tls names no certificate", "expected cert and key, acme, or self_signed = true")
	}
	switch {
	case t.Clients != "none" && t.ClientCA == "":
		d.fault(b.rng, "nobody says which client certificates are good", "expected client_ca")
	case t.Clients == "none" && t.ClientCA != "":
		d.fault(b.args["client_ca"].rng, "client_ca is there, and clients are not asked for certificates", `expected client_certs = "request" or "require"`)
	}
}
