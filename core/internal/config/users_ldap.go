// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"net/url"
	"strings"
	"time"
)

// UsersLDAP are accounts that an LDAP server keeps.
type UsersLDAP struct {
	URLs                              []string
	StartTLS                          bool
	CA                                string // path, absolute; empty: the system's
	BindDN, BindPassword              string // both empty: the search is anonymous
	Base, Filter, Template            string // Template empty: search, else bind as that
	UserAttribute                     string
	Tenant                            string
	TenantAttribute, SendersAttribute string
	Timeout                           time.Duration
	Connections                       int
}

// userMark stands for what the client calls itself.
const userMark = "{user}"

func usersLDAPSpec() *blockSpec {
	return &blockSpec{
		name: "ldap", count: optional, example: usersLDAPExample,
		doc: "An LDAP server keeps them: a client is in if the server lets its entry bind with the password. While no server answers, logins are 454.",
		args: []argSpec{
			{"urls", listKind[string](ldapURLKind(), "list of URLs"), ``, true, "The servers, ldaps://, ldap:// or ldapi:// with the path of a socket. They are asked in this order until one answers."},
			{"starttls", boolKind(), `true`, false, "TLS begins by StartTLS on ldap://. Only for a server on this machine it may be false."},
			{"ca", fileKind(), ``, false, "File with the certificates, PEM, that servers are verified against; the system's if left out. A reload reads it again."},
			{"bind_dn", dnKind(), ``, false, "The service account that searches; anonymous if left out."},
			{"bind_password", passwordKind(), ``, false, "Its password, by secret(\"NAME\")."},
			{"base", dnKind(), ``, false, "Below it, at any depth, an entry is searched. One of base and template is needed."},
			{"filter", userFilterKind(), `"(uid={user})"`, false, "Finds the one entry of a user; {user} is what the client calls itself, escaped."},
			{"template", userDNKind(), ``, false, "The DN of a user, with {user}: the server is asked to bind as that, without a search before."},
			{"user_attribute", attributeKind(), `"uid"`, false, "Has the name of the account, once in each entry. Users must not be able to change it."},
			{"tenant", labelKind(), ``, false, "Whose mail they send; as the listener says if left out."},
			{"tenant_attribute", attributeKind(), ``, false, "Has the name of the tenant; who has none cannot log in."},
			{"senders_attribute", attributeKind(), ``, false, "Has the addresses that the user may send as, \"@example.org\" for all of a domain; any if left out."},
			{"timeout", durationKind(100 * time.Millisecond), `"5s"`, false, "For all that one server is asked in one login."},
			{"connections", numberKind(1, 1000), `8`, false, "Connections at once; more logins wait for one."},
		},
	}
}

// ldapURLKind reads the form of a URL; whether it is safe shows with starttls.
func ldapURLKind() kind {
	return textKind("URL", `a URL of an LDAP server, such as "ldaps://ldap.example.org"`, func(s string) error {
		if path, ok := strings.CutPrefix(s, "ldapi://"); ok {
			if p, err := url.PathUnescape(path); err != nil || !strings.HasPrefix(p, "/") {
				return fmt.Errorf("%q names no socket", s)
			}
			return nil
		}
		u, err := url.Parse(s)
		if err != nil || u.Hostname() == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" || u.Scheme != "ldap" && u.Scheme != "ldaps" {
			return fmt.Errorf("%q is no URL of an LDAP server", s)
		}
		return nil
	})
}

func dnKind() kind {
	return textKind("DN", `a distinguished name, such as "ou=people,dc=example,dc=org"`, func(s string) error {
		if !strings.Contains(s, "=") {
			return fmt.Errorf("%q is no distinguished name", s)
		}
		return nil
	})
}

func userDNKind() kind {
	return textKind("DN", `a distinguished name with {user}, such as "uid={user},ou=people,dc=example,dc=org"`, func(s string) error {
		if !strings.Contains(s, "=") || !strings.Contains(s, userMark) {
			return fmt.Errorf("%q is no distinguished name with %s", s, userMark)
		}
		return nil
	})
}

func userFilterKind() kind {
	return textKind("filter", `a filter (RFC 4515) with {user}, such as "(&(objectClass=person)(mail={user}))"`, func(s string) error {
		if !strings.HasPrefix(s, "(") || !strings.HasSuffix(s, ")") || !strings.Contains(s, userMark) {
			return fmt.Errorf("%q is no filter with %s", s, userMark)
		}
		return nil
	})
}

// attributeKind reads the name of an attribute (RFC 4512 §1.4).
func attributeKind() kind {
	return textKind("attribute", `the name of an attribute, such as "mail"`, func(s string) error {
		if s == "" || strings.Trim(strings.ToLower(s), "abcdefghijklmnopqrstuvwxyz0123456789-.;") != "" {
			return fmt.Errorf("%q is no name of an attribute", s)
		}
		return nil
	})
}

func buildUsersLDAP(d *decoder, n *node, u *Users) {
	u.LDAP = &UsersLDAP{
		URLs: arg[[]string](n, "urls"), StartTLS: arg[bool](n, "starttls"), CA: arg[string](n, "ca"),
		BindDN: arg[string](n, "bind_dn"), BindPassword: arg[string](n, "bind_password"),
		Base: arg[string](n, "base"), Filter: arg[string](n, "filter"), Template: arg[string](n, "template"),
		UserAttribute: arg[string](n, "user_attribute"), Tenant: arg[string](n, "tenant"),
		TenantAttribute: arg[string](n, "tenant_attribute"), SendersAttribute: arg[string](n, "senders_attribute"),
		Timeout: arg[time.Duration](n, "timeout"), Connections: int(arg[int64](n, "connections")),
	}
	l := u.LDAP
	if n.args["base"].given == n.args["template"].given {
		d.fault(n.rng, "where the entries are is not said, or twice", "expected either base, below which an entry is searched, or template, the DN of a user")
	}
	if n.args["bind_dn"].given != n.args["bind_password"].given || l.BindDN != "" && l.BindPassword == "" {
		d.fault(n.rng, "the service account needs a name and a password", "expected both bind_dn and bind_password, such as secret(\"ldap\"), or neither")
	}
	if len(l.URLs) == 0 && n.args["urls"].given {
		d.fault(n.args["urls"].rng, "no server is named", "expected a URL, such as \"ldaps://ldap.example.org\"")
	}
	l.safe(d, n)
}

// safe refuses to show passwords to a network.
func (l *UsersLDAP) safe(d *decoder, n *node) {
	for _, s := range l.URLs {
		u, err := url.Parse(s)
		if err == nil && u.Scheme == "ldap" && !l.StartTLS && !thisMachine(u.Hostname()) {
			d.fault(n.args["starttls"].rng, fmt.Sprintf("%s without TLS would show passwords to the network", s), "expected true, or ldaps:// in urls")
		}
	}
}
