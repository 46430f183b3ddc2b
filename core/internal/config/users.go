// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"strings"
)

// Users are accounts that clients log in to, and the directory that knows them.
// What belongs to the kind is set, all else is nil.
type Users struct {
	Name         string
	Kind         string // name of the block that says how: "file", …
	File         *UsersFile
	Static       *StaticUser
	Certificates []CertificateUser
	OIDC         *UsersOIDC
	Kerberos     *UsersKerberos
	LDAP         *UsersLDAP
	Pos          Pos
}

// UsersFile is a file with a user in each line.
type UsersFile struct {
	Path string // absolute
}

// StaticUser is one account that stands in the configuration.
type StaticUser struct {
	User, Password string // both empty: nobody
	Tenant         string
	Senders        []string // nil: nothing is said
}

// CertificateUser is an account that a client certificate opens.
type CertificateUser struct {
	User    string
	SHA256  []string // fingerprints of certificates, lower-case hex
	Names   []string // DNS names and addresses in the certificate, lower case
	Tenant  string
	Senders []string // addresses and "@domain"s; nil: nothing is said
}

// usersKind is a kind of directory: its block, and how that is read.
type usersKind struct {
	spec  *blockSpec
	build func(d *decoder, n *node, u *Users)
}

// usersKinds are all kinds, in the order of the reference.
func usersKinds() []usersKind {
	return []usersKind{
		{usersFileSpec(), buildUsersFile},
		{usersStaticSpec(), buildUsersStatic},
		{usersCertificatesSpec(), buildUsersCertificates},
		{usersOIDCSpec(), buildUsersOIDC},
		{usersKerberosSpec(), buildUsersKerberos},
		{usersLDAPSpec(), buildUsersLDAP},
		{usersStagesSpec(), func(*decoder, *node, *Users) {}},
	}
}

func usersSpec() *blockSpec {
	s := &blockSpec{
		name: "users", labels: []string{"name"}, count: many, example: usersExample,
		doc: "Accounts that clients can log in to. One block in it says where they are kept; listeners name it in `auth`.",
	}
	for _, k := range usersKinds() {
		s.blocks = append(s.blocks, k.spec)
	}
	return s
}

func usersFileSpec() *blockSpec {
	return &blockSpec{
		name: "file", count: optional, doc: "Users in a file of the relay's own, which `postroad user` writes. It is read again when it has changed.",
		args: []argSpec{{"path", fileKind(), ``, true, "The file, for its owner alone. A relative path starts at this file's folder."}},
	}
}

func usersStaticSpec() *blockSpec {
	return &blockSpec{
		name: "static", count: optional, doc: "One user, who stands here: for programs, and for a first look.",
		args: []argSpec{
			{"user", nameOrNobodyKind(), ``, true, "What the client logs in with; \"\" means nobody."},
			{"password", passwordKind(), ``, true, "The password, from secret(NAME) or env(NAME); it is printed nowhere."},
			{"tenant", labelKind(), ``, false, "Whose mail the user sends; as the listener says if left out."},
			{"senders", listKind[string](identityKind(), "list of addresses"), ``, false, "Addresses that the user may send as, \"@example.org\" for all of a domain; any if left out."},
		},
	}
}

// nameOrNobodyKind reads the name of a user.
func nameOrNobodyKind() kind {
	return scalarKind("user", `what a client logs in with, such as "ann"`, func(_ *decoder, s string) (string, error) {
		if len(s) > 255 || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
			return "", fmt.Errorf("%q is no name of a user", s)
		}
		return s, nil
	}, same)
}

// passwordKind reads a password, and never shows it.
func passwordKind() kind {
	k := scalarKind("password", "a text", func(_ *decoder, s string) (string, error) { return s, nil }, same)
	k.print = func(v any) string {
		if v.(string) == "" {
			return `""`
		}
		return `"(secret)"`
	}
	return k
}

func buildUsersStatic(d *decoder, n *node, u *Users) {
	u.Static = &StaticUser{arg[string](n, "user"), arg[string](n, "password"), arg[string](n, "tenant"), arg[[]string](n, "senders")}
	if u.Static.User != "" && u.Static.Password == "" && n.has("password") {
		d.fault(n.args["password"].rng, "the user has no password", "expected one, such as secret(\"smtp-password\")")
	}
}

func usersStagesSpec() *blockSpec {
	return &blockSpec{
		name: "stages", count: optional,
		doc: "The stages of phase auth in the listener's pipeline know them: who is accepted by one is logged in, and who is not is not. They need the grant to read \"auth\" for the password.",
	}
}

func usersCertificatesSpec() *blockSpec {
	return &blockSpec{
		name: "certificates", count: optional, doc: "Clients are known by the certificate of their TLS connection, which the listener has verified.",
		blocks: []*blockSpec{{
			name: "user", labels: []string{"name"}, count: many, doc: "Whom such a certificate logs in.",
			args: []argSpec{
				{"sha256", listKind[string](sha256Kind(), "list of fingerprints"), `[]`, false, "SHA-256 of certificates, in hex."},
				{"names", listKind[string](certificateNameKind(), "list of names"), `[]`, false, "DNS names or mail addresses that the certificate has as subject alternative names."},
				{"tenant", labelKind(), ``, false, "Whose mail it sends; as the listener says if left out."},
				{"senders", listKind[string](identityKind(), "list of addresses"), ``, false, "Addresses that it may send as, \"@example.org\" for all of a domain; any if left out."},
			},
		}},
	}
}

// certificateNameKind reads a name as certificates have it.
func certificateNameKind() kind {
	return scalarKind("name", `a name in a certificate, such as "mx.example.org" or "ann@example.org"`, func(_ *decoder, s string) (string, error) {
		if s == "" || strings.ContainsAny(s, " *\t") {
			return "", fmt.Errorf("%q is no name of one client", s)
		}
		return strings.ToLower(s), nil
	}, same)
}

// identityKind reads an address, or all of a domain.
func identityKind() kind {
	want := `an address, such as "ann@example.org", or "@example.org" for all of a domain`
	return scalarKind("identity", want, func(_ *decoder, s string) (string, error) {
		if cut := strings.LastIndexByte(s, '@'); cut < 0 || cut == len(s)-1 || strings.ContainsAny(s, " \t<>") {
			return "", fmt.Errorf("%q is neither an address nor a domain", s)
		}
		return s, nil
	}, same)
}

// users reads the users blocks.
func (d *decoder) users(c *Config, root *node) {
	for _, n := range root.children("users") {
		u := Users{Name: n.name(), Pos: d.pos(n.rng)}
		if len(n.blocks) != 1 {
			d.fault(n.rng, fmt.Sprintf("users %q needs one block that says where they are kept", u.Name), "expected one of the blocks "+strings.Join(usersKindNames(), ", "))
			continue
		}
		u.Kind = n.blocks[0].spec.name
		for _, k := range usersKinds() {
			if k.spec.name == u.Kind {
				k.build(d, n.blocks[0], &u)
			}
		}
		u.Kerberos.complete(c.Server.Hostname)
		c.Users = append(c.Users, u)
	}
}

func usersKindNames() []string {
	var names []string
	for _, k := range usersKinds() {
		names = append(names, k.spec.name)
	}
	return names
}

func buildUsersFile(_ *decoder, n *node, u *Users) {
	u.File = &UsersFile{arg[string](n, "path")}
}

func buildUsersCertificates(d *decoder, n *node, u *Users) {
	for _, b := range n.children("user") {
		c := CertificateUser{
			User: b.name(), SHA256: arg[[]string](b, "sha256"), Names: arg[[]string](b, "names"),
			Tenant: arg[string](b, "tenant"), Senders: arg[[]string](b, "senders"),
		}
		if !b.args["sha256"].given && !b.args["names"].given {
			d.fault(b.rng, fmt.Sprintf("no certificate logs user %q in", c.User), "expected sha256 or names")
		}
		u.Certificates = append(u.Certificates, c)
	}
}
