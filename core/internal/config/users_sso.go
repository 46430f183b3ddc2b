// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

// UsersOIDC are accounts that an OpenID provider keeps.
type UsersOIDC struct {
	Issuer                           string // URL, as tokens have it
	Audiences, Clients, Scopes       []string
	UserClaim, Tenant, TenantClaim   string
	AnyEmail                         bool
	Skew                             time.Duration
	IntrospectionID, IntrospectionPW string // both empty: tokens are JWTs
}

// UsersKerberos are accounts of a Kerberos realm.
type UsersKerberos struct {
	Keytab, Principal     string // path, absolute; name of the service, without a realm
	Realm, Domain, Tenant string
	Skew                  time.Duration
}

func usersOIDCSpec() *blockSpec {
	return &blockSpec{
		name: "oidc", count: optional, example: usersOIDCExample,
		doc: "An OpenID provider keeps them: clients show its tokens, by OAUTHBEARER or XOAUTH2. It is asked for its keys when the first token comes; while it does not answer, logins are 454.",
		args: []argSpec{
			{"issuer", issuerKind(), ``, true, "URL of the provider, as \"iss\" in its tokens; its metadata are below it, at /.well-known/openid-configuration."},
			{"audiences", listKind[string](claimKind(), "list of texts"), `[]`, false, "A token has one of them as \"aud\". One of audiences, clients and introspection is needed."},
			{"clients", listKind[string](claimKind(), "list of texts"), `[]`, false, "A token was issued to one of these programs (\"azp\" or \"client_id\")."},
			{"scopes", listKind[string](claimKind(), "list of texts"), `[]`, false, "Scopes that a token must have, all of them."},
			{"user_claim", claimKind(), `"email"`, false, "The claim that names the account. \"email\" counts only where \"email_verified\" is true."},
			{"unverified_email", boolKind(), `false`, false, "Takes \"email\" whatever \"email_verified\" says: for a provider whose users cannot choose it."},
			{"tenant", labelKind(), ``, false, "Whose mail they send; as the listener says if left out."},
			{"tenant_claim", claimKind(), ``, false, "The claim that names the tenant; who has none cannot log in."},
			{"clock_skew", durationKind(0), `"1m"`, false, "How far the provider's clock may be off."},
		},
		blocks: []*blockSpec{{
			name: "introspection", count: optional, doc: "The provider is asked about each token (RFC 7662), with these credentials; it says which ones are for us. Without this block tokens must be JWTs, which are checked here.",
			args: []argSpec{
				{"client_id", claimKind(), ``, true, "Our name there."},
				{"client_secret", textKind("secret", `a secret, such as secret("oidc")`, notEmpty), ``, true, "Our password there, by secret(\"NAME\")."},
			},
		}},
	}
}

func notEmpty(s string) error {
	if s == "" {
		return fmt.Errorf("the text is empty")
	}
	return nil
}

// claimKind reads a text of a token: the name of a claim, or one value.
func claimKind() kind {
	return textKind("text", `a text without spaces, as tokens have it, such as "smtp"`, func(s string) error {
		if s == "" || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
			return fmt.Errorf("%q is empty or has a space", s)
		}
		return nil
	})
}

// issuerKind reads the URL of a provider: by TLS, or on this machine.
func issuerKind() kind {
	return textKind("URL", `an https URL, such as "https://id.example.org/realms/mail"`, func(s string) error {
		u, err := url.Parse(s)
		switch {
		case err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
			return fmt.Errorf("%q is no URL of a provider", s)
		case u.Scheme != "https" && (u.Scheme != "http" || !thisMachine(u.Hostname())):
			return fmt.Errorf("%q is neither https nor on this machine", s)
		}
		return nil
	})
}

func thisMachine(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

func buildUsersOIDC(d *decoder, n *node, u *Users) {
	o := &UsersOIDC{
		Issuer: arg[string](n, "issuer"), Audiences: arg[[]string](n, "audiences"), Clients: arg[[]string](n, "clients"), Scopes: arg[[]string](n, "scopes"),
		UserClaim: arg[string](n, "user_claim"), Tenant: arg[string](n, "tenant"), TenantClaim: arg[string](n, "tenant_claim"),
		AnyEmail: arg[bool](n, "unverified_email"), Skew: arg[time.Duration](n, "clock_skew"),
	}
	if len(o.Audiences)+len(o.Clients) == 0 && n.child("introspection") == nil {
		d.fault(n.rng, "a token for anything else would log in", "expected audiences or clients, what tokens for this relay have as \"aud\" or \"azp\", or the block introspection")
	}
	if b := n.child("introspection"); b != nil {
		o.IntrospectionID, o.IntrospectionPW = arg[string](b, "client_id"), arg[string](b, "client_secret")
	}
	u.OIDC = o
}

func usersKerberosSpec() *blockSpec {
	return &blockSpec{
		name: "kerberos", count: optional, example: usersKerberosExample,
		doc: "Accounts of a Kerberos realm: clients log in with a ticket, by GSSAPI. No server is asked.",
		args: []argSpec{
			{"keytab", fileKind(), ``, true, "The file with the keys of the service, for its owner alone. It is read again when it has changed. A relative path starts at this file's folder."},
			{"principal", principalKind(), ``, false, "Name of the service; smtp/HOSTNAME, with hostname of the block server, if left out."},
			{"realm", principalKind(), ``, false, "The realm of service and users; the one that the keytab has for principal if left out."},
			{"domain", hostnameKind(), ``, false, "If set, the user ann of the realm is the account ann@DOMAIN; ann if left out."},
			{"tenant", labelKind(), ``, false, "Whose mail they send; as the listener says if left out."},
			{"clock_skew", durationKind(time.Second), `"5m"`, false, "How far the clocks of clients may be off."},
		},
	}
}

// principalKind reads a name as keytabs have it.
func principalKind() kind {
	return textKind("name", `a name of Kerberos, such as "smtp/mx.example.org" or "EXAMPLE.ORG"`, func(s string) error {
		if s == "" || strings.ContainsAny(s, " @\\\t") || slices.Contains(strings.Split(s, "/"), "") {
			return fmt.Errorf("%q is no such name; the realm is an argument of its own", s)
		}
		return nil
	})
}

func buildUsersKerberos(_ *decoder, n *node, u *Users) {
	u.Kerberos = &UsersKerberos{
		Keytab: arg[string](n, "keytab"), Principal: arg[string](n, "principal"), Realm: arg[string](n, "realm"),
		Domain: arg[string](n, "domain"), Tenant: arg[string](n, "tenant"), Skew: arg[time.Duration](n, "clock_skew"),
	}
}

// complete names the service if nothing else did.
func (k *UsersKerberos) complete(hostname string) {
	if k != nil && k.Principal == "" {
		k.Principal = "smtp/" + hostname
	}
}
