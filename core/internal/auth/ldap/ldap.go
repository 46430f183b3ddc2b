// SPDX-License-Identifier: Apache-2.0

// Package ldap is a directory of accounts that an LDAP server keeps (RFC 4511). A
// client is who it says if the server lets it bind with its password: its entry is
// looked for by the service account, or named by a template. Only the server's plain
// word that the password is wrong denies anybody; all else that is not success is a
// fault.
package ldap

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/go-ldap/ldap/v3"

	"github.com/postroad-mail/postroad/core/internal/auth"
)

// UserMark stands in a filter and in a template for what the client calls itself.
const UserMark = "{user}"

// Options say where the entries are, and what of them counts.
type Options struct {
	URLs     []string       // ldap, ldaps or ldapi, as CheckURL takes them; the first that answers is asked
	StartTLS bool           // on ldap URLs
	Roots    *x509.CertPool // nil: the system's

	BindDN, BindPassword string // the service account; both empty: the search is anonymous
	Base, Filter         string // where and how an entry is searched; the filter has UserMark
	Template             string // DN with UserMark: bind as that at once, without a search. Empty: search

	UserAttribute    string // has the canonical name, once
	Tenant           string // whose mail they send; empty: as the listener says
	TenantAttribute  string // if set, names the tenant; who has none is denied
	SendersAttribute string // if set, has the addresses that the user may send as

	Timeout     time.Duration // for all that is asked of one server in one login
	Connections int           // at once, at least 1; more logins wait
}

// Directory asks LDAP servers. It is used by many sessions at once.
type Directory struct {
	o    Options
	pool *pool
}

// New returns a directory. No server is asked yet.
func New(o Options) (*Directory, error) {
	if o.Template == "" {
		if _, err := ldap.CompileFilter(strings.ReplaceAll(o.Filter, UserMark, "x")); err != nil {
			return nil, fmt.Errorf("the filter %s: %w", o.Filter, err)
		}
	}
	p, err := newPool(o)
	return &Directory{o, p}, err
}

// Close ends the connections; those that are in use, when they no longer are.
func (d *Directory) Close() error {
	d.pool.close()
	return nil
}

// Password implements auth.Passwords. A bind without a password would succeed as
// nobody (RFC 4513 §5.1.2): it is never tried.
func (d *Directory) Password(ctx context.Context, a auth.Attempt) (*auth.Account, error) {
	if a.User == "" || a.Password == "" {
		return nil, auth.ErrDenied
	}
	var who *auth.Account
	err := d.pool.with(ctx, func(c *ldap.Conn) error {
		entry, err := d.entry(c, a.User, a.Password)
		if err == nil {
			who, err = d.account(entry)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return who, nil
}

// entry returns the entry of a user whose password is right.
func (d *Directory) entry(c *ldap.Conn, user, password string) (*ldap.Entry, error) {
	if d.o.Template == "" {
		return d.searched(c, user, password)
	}
	dn := strings.ReplaceAll(d.o.Template, UserMark, ldap.EscapeDN(user))
	if err := bindUser(c, dn, password); err != nil {
		return nil, err
	}
	found, err := d.search(c, dn, ldap.ScopeBaseObject, "(objectClass=*)")
	switch {
	case err != nil:
		return nil, err
	case len(found) != 1:
		return nil, fmt.Errorf("%s logged in, but cannot read its own entry; let users read themselves", dn)
	}
	return found[0], nil
}

// searched looks for the entry as the service, and binds as that.
func (d *Directory) searched(c *ldap.Conn, user, password string) (*ldap.Entry, error) {
	if err := d.bindService(c); err != nil {
		return nil, err
	}
	filter := strings.ReplaceAll(d.o.Filter, UserMark, ldap.EscapeFilter(user)) // RFC 4515 §3
	found, err := d.search(c, d.o.Base, ldap.ScopeWholeSubtree, filter)
	switch {
	case err != nil:
		return nil, err
	case len(found) == 0:
		return nil, d.bindNobody(c, password)
	case len(found) > 1 || found[0].DN == "":
		return nil, errors.New("the filter does not find exactly one entry for a user; make it narrower")
	}
	return found[0], bindUser(c, found[0].DN, password)
}

func (d *Directory) bindService(c *ldap.Conn) error {
	_, err := c.SimpleBind(&ldap.SimpleBindRequest{Username: d.o.BindDN, Password: d.o.BindPassword, AllowEmptyPassword: d.o.BindDN == ""})
	if err != nil {
		return fmt.Errorf("the server does not let the service account bind: %w", err)
	}
	return nil
}

// bindNobody denies a user who is not there, after a bind like that of others: the
// time should not tell.
func (d *Directory) bindNobody(c *ldap.Conn, password string) error {
	if err := bindUser(c, "cn=nobody,"+d.o.Base, password); err != nil && !isResult(err) {
		return err
	}
	return auth.ErrDenied
}

// bindUser binds as a client. The answers that say "not this user with this
// password" are denials (RFC 4511 appendix A.2; constraintViolation is a locked
// account at several servers).
func bindUser(c *ldap.Conn, dn, password string) error {
	_, err := c.SimpleBind(&ldap.SimpleBindRequest{Username: dn, Password: password})
	switch {
	case err == nil:
		return nil
	case ldap.IsErrorAnyOf(err, ldap.LDAPResultInvalidCredentials, ldap.LDAPResultInappropriateAuthentication, ldap.LDAPResultConstraintViolation):
		return auth.ErrDenied
	}
	return err
}

// isResult reports whether an error is the server's word, after which the connection
// is good.
func isResult(err error) bool {
	var e *ldap.Error
	return errors.Is(err, auth.ErrDenied) || errors.As(err, &e) && e.ResultCode < ldap.ErrorNetwork
}

// search returns at most two entries. Referrals are not followed.
func (d *Directory) search(c *ldap.Conn, base string, scope int, filter string) ([]*ldap.Entry, error) {
	seconds := max(1, int(d.o.Timeout/time.Second))
	r := ldap.NewSearchRequest(base, scope, ldap.NeverDerefAliases, 2, seconds, false, filter, d.attributes(), nil)
	r.EnforceSizeLimit = true
	found, err := c.Search(r)
	if err != nil {
		return nil, fmt.Errorf("the search failed: %w", err)
	}
	return found.Entries, nil
}

func (d *Directory) attributes() []string {
	all := []string{d.o.UserAttribute}
	for _, a := range []string{d.o.TenantAttribute, d.o.SendersAttribute} {
		if a != "" {
			all = append(all, a)
		}
	}
	return all
}

// account reads what an entry says.
func (d *Directory) account(e *ldap.Entry) (*auth.Account, error) {
	names := e.GetEqualFoldAttributeValues(d.o.UserAttribute)
	if len(names) != 1 {
		return nil, fmt.Errorf("%s has %d values of %s, which names the account; say another user_attribute, that each entry has once", e.DN, len(names), d.o.UserAttribute)
	}
	if !plain(names[0]) {
		return nil, fmt.Errorf("%s has a name in %s that no account can have", e.DN, d.o.UserAttribute)
	}
	who := &auth.Account{User: names[0], Tenant: d.o.Tenant}
	if d.o.SendersAttribute != "" {
		who.Senders = append([]string{}, e.GetEqualFoldAttributeValues(d.o.SendersAttribute)...)
	}
	if d.o.TenantAttribute != "" {
		who.Tenant = e.GetEqualFoldAttributeValue(d.o.TenantAttribute)
		if !plain(who.Tenant) {
			return nil, auth.ErrDenied
		}
	}
	return who, nil
}

// plain reports whether a text can stand in logs and fields.
func plain(s string) bool {
	return s != "" && len(s) <= 255 && !strings.ContainsFunc(s, unicode.IsControl)
}
