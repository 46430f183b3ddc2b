// SPDX-License-Identifier: Apache-2.0

package config

import "slices"

// Auth says how clients of a listener log in.
type Auth struct {
	Users      []string // names, in the order in which they are asked
	Mechanisms []string // SASL names; nil: all that Users can serve and that are safe
	Required   bool     // MAIL is only for clients that have logged in, or may relay
}

// Equal reports whether both say the same.
func (a *Auth) Equal(b *Auth) bool {
	if a == nil || b == nil {
		return a == b
	}
	return slices.Equal(a.Users, b.Users) && slices.Equal(a.Mechanisms, b.Mechanisms) && a.Required == b.Required
}

// saslNames are the mechanisms that can be named, the best first.
func saslNames() []string {
	return []string{"SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-1", "OAUTHBEARER", "XOAUTH2", "GSSAPI", "EXTERNAL", "PLAIN", "LOGIN", "CRAM-MD5"}
}

func authSpec() *blockSpec {
	return &blockSpec{
		name: "auth", count: optional, doc: "Lets clients log in (AUTH), above TLS or from this machine only. Who has logged in may send to any domain.",
		args: []argSpec{
			{"users", listKind[string](refKind("users"), "list of users references"), ``, true, "Who knows them, in the order in which they are asked."},
			{"mechanisms", listKind[string](enumKind(saslNames()...), "list of mechanisms"), ``, false, "What is offered, as far as users can serve it. All but CRAM-MD5 if left out: that is weak, and needs passwords that the file shows."},
			{"required", boolKind(), ``, false, "Mail is taken only from who has logged in, or is in relay_from. True for a submission listener if left out."},
		},
	}
}

func (d *decoder) auth(n *node, kind string) *Auth {
	b := n.child("auth")
	if b == nil {
		return nil
	}
	if !b.has("required") {
		b.set("required", kind == KindSubmission)
	}
	a := &Auth{Users: arg[[]string](b, "users"), Required: arg[bool](b, "required")}
	if b.has("mechanisms") {
		a.Mechanisms = arg[[]string](b, "mechanisms")
	}
	if b.has("users") && len(a.Users) == 0 {
		d.fault(b.args["users"].rng, "users is empty: nobody could log in", "expected a reference, such as [users.staff]")
	}
	return a
}
