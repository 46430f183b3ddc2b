// SPDX-License-Identifier: Apache-2.0

// Package kerberos is a directory of accounts of a Kerberos realm: clients log in
// by GSSAPI (RFC 4752) with a ticket (RFC 4120, RFC 4121). It needs a keytab with
// the keys of the service, and talks to no server.
package kerberos

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/jcmturner/gokrb5/v8/keytab"
	"github.com/jcmturner/gokrb5/v8/types"

	"github.com/postroad-mail/postroad/core/internal/auth"
)

// Options say whose tickets are good.
type Options struct {
	Keytab    string // path; it is read again when it has changed
	Principal string // of the service, such as "smtp/mx.example.org"
	Realm     string // of clients and service; empty: the one that the keytab has for Principal
	Domain    string // if set, accounts are "name@domain"
	Tenant    string // of all accounts; empty: as the listener says
	Skew      time.Duration
	Replays   *Replays // shared by those that serve one relay; nil: of its own
	Now       func() time.Time
}

// Directory knows who holds a ticket. It is used by many sessions at once.
type Directory struct {
	o       Options
	service types.PrincipalName
	keys    *keys
}

// Open reads the keytab. That it has no key to use is an error; that it is not
// there yet is none, but see Fault.
func Open(o Options) (*Directory, error) {
	if o.Replays == nil {
		o.Replays = NewReplays()
	}
	service, _ := types.ParseSPNString(o.Principal)
	d := &Directory{o: o, service: service, keys: &keys{path: o.Keytab}}
	if err := d.Fault(); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return d, nil
}

// Fault returns what is wrong with the keytab as it is now, nil if it can be used.
func (d *Directory) Fault() error {
	kt, err := d.keys.read()
	if err != nil {
		return err
	}
	_, err = d.realm(kt)
	return err
}

// realm returns the realm that the keytab is used for.
func (d *Directory) realm(kt *keytab.Keytab) (string, error) {
	realms := realmsOf(kt, d.service)
	switch {
	case len(realms) == 0:
		return "", fmt.Errorf("%s has no AES key of %s\n`kadmin ktadd -k %s %s` writes one", d.o.Keytab, d.o.Principal, d.o.Keytab, d.o.Principal)
	case slices.Contains(realms, d.o.Realm):
		return d.o.Realm, nil
	case d.o.Realm != "":
		return "", fmt.Errorf("%s has no AES key of %s in realm %s, but in %s", d.o.Keytab, d.o.Principal, d.o.Realm, strings.Join(realms, ", "))
	case len(realms) > 1:
		return "", fmt.Errorf("%s has keys of %s in several realms\nwrite realm = %q, or another", d.o.Keytab, d.o.Principal, realms[0])
	}
	return realms[0], nil
}

// Mechanisms implements auth.Mechanisms.
func (d *Directory) Mechanisms() []string { return []string{"GSSAPI"} }

// Begin implements auth.Mechanisms.
func (d *Directory) Begin(_ string, p auth.Peer) auth.Exchange { return &exchange{d: d, p: p} }

// account returns the account of a client. Where two principals
// could be taken for the same account, or a name cannot stand in logs, there is
// none.
func (d *Directory) account(name types.PrincipalName) (*auth.Account, error) {
	for _, c := range name.NameString {
		if c == "" || strings.ContainsFunc(c, func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune(`/@\`, r) }) {
			return nil, denied("%q is no account", name.NameString)
		}
	}
	user := name.PrincipalNameString()
	if d.o.Domain != "" {
		user += "@" + d.o.Domain
	}
	if len(name.NameString) == 0 || len(user) > 255 {
		return nil, denied("the client's name is no account")
	}
	return &auth.Account{User: user, Tenant: d.o.Tenant}, nil
}

// itself reports whether a client that wants to be as (RFC 4752 §3.3) is that.
func (c *client) itself(as string) bool {
	return as == "" || as == c.who.User || as == c.name || as == c.name+"@"+c.realm
}

// denied is auth.ErrDenied with the reason, which is not for the client.
func denied(format string, args ...any) error {
	return fmt.Errorf("kerberos: %s: %w", fmt.Sprintf(format, args...), auth.ErrDenied)
}

// bindings are the channel bindings that a client may have sent for a connection,
// as GSSAPI hashes them: tls-exporter (RFC 9266), and up to TLS 1.2 tls-unique (RFC
// 5929).
func bindings(state *tls.ConnectionState) [][]byte {
	var all [][]byte
	if state == nil {
		return nil
	}
	if b, err := state.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32); err == nil {
		all = append(all, hashBinding("tls-exporter:"+string(b)))
	}
	if state.Version <= tls.VersionTLS12 && len(state.TLSUnique) > 0 {
		all = append(all, hashBinding("tls-unique:"+string(state.TLSUnique)))
	}
	return all
}
