// SPDX-License-Identifier: Apache-2.0

package ldap

import (
	"bytes"
	"context"
	"errors"
	"net"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/postroad-mail/postroad/core/internal/auth"
)

const serviceDN = "cn=service,dc=example"

var ann = person{"uid=ann,dc=example", "pencil", map[string][]string{
	"UID": {"ann"}, "mail": {"ann@example.org", "sales@example.org"}, "o": {"shop"},
}}

func options(urls ...string) Options {
	return Options{
		URLs: urls, BindDN: serviceDN, BindPassword: "service", Base: "dc=example", Filter: "(uid={user})",
		UserAttribute: "uid", Timeout: time.Minute, Connections: 2,
	}
}

func open(t *testing.T, o Options) *Directory {
	t.Helper()
	d, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

func login(t *testing.T, d *Directory, user, password string) (*auth.Account, error) {
	t.Helper()
	who, err := d.Password(t.Context(), auth.Attempt{User: user, Password: password})
	if (who == nil) == (err == nil) {
		t.Fatalf("an account %v with error %v", who, err)
	}
	return who, err
}

// town is a server that knows ann, and two who are called twin.
func town(t *testing.T) *fake {
	f := startFake(t)
	twin := person{"uid=twin,dc=example", "x", map[string][]string{"uid": {"twin"}}}
	f.found["(uid=ann)"] = []person{ann}
	f.found["(uid=ANN)"] = []person{ann}
	f.found["(uid=twin)"] = []person{twin, twin}
	f.found["(uid=nameless)"] = []person{{"uid=nameless,dc=example", "x", nil}}
	f.found["(uid=two)"] = []person{{"uid=two,dc=example", "x", map[string][]string{"uid": {"two", "deux"}}}}
	f.found["(uid=lines)"] = []person{{"uid=lines,dc=example", "x", map[string][]string{"uid": {"a\r\nb"}}}}
	f.found["(uid=*)"] = []person{ann}
	f.found[ann.dn] = []person{ann}
	return f
}

func TestPassword(t *testing.T) {
	d := open(t, options(town(t).url()))
	for _, c := range []struct {
		user, password string
		denied, fault  bool
	}{
		{user: "ann", password: "pencil"},
		{user: "ANN", password: "pencil"},
		{user: "ann", password: "pen", denied: true},
		{user: "ann", password: "", denied: true},
		{user: "", password: "pencil", denied: true},
		{user: "bob", password: "pencil", denied: true},
		{user: "*", password: "pencil", denied: true},
		{user: "ann)(uid=ann", password: "pencil", denied: true},
		{user: "twin", password: "x", fault: true},
		{user: "nameless", password: "x", fault: true},
		{user: "two", password: "x", fault: true},
		{user: "lines", password: "x", fault: true},
	} {
		who, err := login(t, d, c.user, c.password)
		if errors.Is(err, auth.ErrDenied) != c.denied || (err != nil) != (c.denied || c.fault) {
			t.Errorf("%q with %q: %v", c.user, c.password, err)
		}
		if err == nil && !reflect.DeepEqual(who, &auth.Account{User: "ann"}) {
			t.Errorf("%q is %+v", c.user, who)
		}
	}
}

// TestNoBindWithoutAPassword: it would succeed as nobody.
func TestNoBindWithoutAPassword(t *testing.T) {
	f := town(t)
	_, err := login(t, open(t, options(f.url())), "ann", "")
	if !errors.Is(err, auth.ErrDenied) || len(f.binds) != 0 {
		t.Errorf("%v after %q", err, f.binds)
	}
}

func TestTenantAndSenders(t *testing.T) {
	f := town(t)
	o := options(f.url())
	o.TenantAttribute, o.SendersAttribute = "o", "mail"
	who, err := login(t, open(t, o), "ann", "pencil")
	if want := (&auth.Account{User: "ann", Tenant: "shop", Senders: []string{"ann@example.org", "sales@example.org"}}); err != nil || !reflect.DeepEqual(who, want) {
		t.Errorf("%+v, %v", who, err)
	}
	o.TenantAttribute, o.SendersAttribute = "", "none"
	if who, err := login(t, open(t, o), "ann", "pencil"); err != nil || who.Senders == nil || len(who.Senders) != 0 {
		t.Errorf("whose entry has no sender may send as anybody: %+v, %v", who, err)
	}
	o.TenantAttribute = "none"
	if _, err := login(t, open(t, o), "ann", "pencil"); !errors.Is(err, auth.ErrDenied) {
		t.Errorf("who has no tenant: %v", err)
	}
}

func TestTemplate(t *testing.T) {
	f := town(t)
	o := options(f.url())
	o.Template, o.BindDN, o.BindPassword = "uid={user},dc=example", "", ""
	d := open(t, o)
	if who, err := login(t, d, "ann", "pencil"); err != nil || who.User != "ann" {
		t.Errorf("%+v, %v", who, err)
	}
	if _, err := login(t, d, "ann,ou=x", "pencil"); !errors.Is(err, auth.ErrDenied) {
		t.Errorf("%v", err)
	}
	if want := `uid=ann\,ou=x,dc=example pencil`; !slices.Contains(f.binds, want) {
		t.Errorf("%q, want %q among them", f.binds, want)
	}
}

func TestAServiceThatCannotBindIsAFault(t *testing.T) {
	o := options(town(t).url())
	o.BindPassword = "old"
	if _, err := login(t, open(t, o), "ann", "pencil"); err == nil || errors.Is(err, auth.ErrDenied) {
		t.Errorf("%v", err)
	}
}

// TestResultsThatAreNoDenials: only the word that the password is wrong is one.
func TestResultsThatAreNoDenials(t *testing.T) {
	for code := int64(1); code < 130; code++ {
		f := town(t)
		f.hostile = func(c net.Conn, request int) bool {
			id := int64(request)
			switch request {
			case 1:
				return send(c, id, ldap.ApplicationBindResponse, 0)
			case 2:
				_, _ = c.Write(entry(id, ann).Bytes())
				return send(c, id, ldap.ApplicationSearchResultDone, 0)
			}
			return send(c, id, ldap.ApplicationBindResponse, code)
		}
		_, err := login(t, open(t, options(f.url())), "ann", "pencil")
		if want := code == 49 || code == 48 || code == 19; err == nil || errors.Is(err, auth.ErrDenied) != want {
			t.Errorf("code %d: %v", code, err)
		}
	}
}

// TestHostileServers, at each step of a login: nobody is let in, nobody is denied.
func TestHostileServers(t *testing.T) {
	endless := bytes.Repeat([]byte{0x30, 3, 2, 1, 99}, 1000)
	for name, answer := range map[string]func(c net.Conn, id int64) bool{
		"ends": func(net.Conn, int64) bool { return false },
		"says garbage": func(c net.Conn, _ int64) bool {
			_, _ = c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
			return false
		},
		"stops half-way": func(c net.Conn, id int64) bool {
			b := result(id, ldap.ApplicationBindResponse, 0).Bytes()
			_, _ = c.Write(b[:len(b)-3])
			return false
		},
		"promises 4 GiB": func(c net.Conn, _ int64) bool {
			_, _ = c.Write([]byte{0x30, 0x84, 0xff, 0xff, 0xff, 0xff})
			return false
		},
		"never ends to answer others": func(c net.Conn, _ int64) bool {
			for {
				if _, err := c.Write(endless); err != nil {
					return false
				}
			}
		},
		"never ends to find": func(c net.Conn, id int64) bool {
			found := bytes.Repeat(entry(id, ann).Bytes(), 100)
			for {
				if _, err := c.Write(found); err != nil {
					return false
				}
			}
		},
	} {
		for step := 1; step <= 3; step++ {
			t.Run(name, func(t *testing.T) { atStep(t, step, answer) })
		}
	}
}

func atStep(t *testing.T, step int, answer func(c net.Conn, id int64) bool) {
	f := town(t)
	f.hostile = func(c net.Conn, request int) bool {
		id := int64(request)
		switch {
		case request == step:
			return answer(c, id)
		case request == 2:
			_, _ = c.Write(entry(id, ann).Bytes())
			return send(c, id, ldap.ApplicationSearchResultDone, 0)
		}
		return send(c, id, ldap.ApplicationBindResponse, 0)
	}
	if _, err := login(t, open(t, options(f.url())), "ann", "pencil"); err == nil || errors.Is(err, auth.ErrDenied) {
		t.Errorf("step %d: %v", step, err)
	}
}

func TestASilentServerIsAFault(t *testing.T) {
	f := town(t)
	f.hostile = func(net.Conn, int) bool { return true }
	o := options(f.url())
	o.Timeout = 50 * time.Millisecond
	if _, err := login(t, open(t, o), "ann", "pencil"); err == nil || errors.Is(err, auth.ErrDenied) {
		t.Errorf("%v", err)
	}
	f = town(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	f.hostile = func(net.Conn, int) bool { cancel(); return true }
	if _, err := open(t, options(f.url())).Password(ctx, auth.Attempt{User: "ann", Password: "pencil"}); err == nil || errors.Is(err, auth.ErrDenied) {
		t.Errorf("a session that ended: %v", err)
	}
}

func TestTheNextServerIsAsked(t *testing.T) {
	f, gone := town(t), startFake(t)
	_ = gone.Close()
	d := open(t, options(gone.url(), f.url()))
	if _, err := login(t, d, "ann", "pencil"); err != nil {
		t.Error(err)
	}
	if _, err := login(t, d, "ann", "pen"); !errors.Is(err, auth.ErrDenied) {
		t.Error(err)
	}
}

// TestConnectionsAreKept, and one that the server has ended is replaced.
func TestConnectionsAreKept(t *testing.T) {
	f := town(t)
	d := open(t, options(f.url()))
	for range 3 {
		_, _ = login(t, d, "ann", "pencil")
		_, _ = login(t, d, "ann", "pen")
	}
	if n := len(f.conns); n != 1 {
		t.Errorf("%d connections", n)
	}
	f.drop()
	if who, err := login(t, d, "ann", "pencil"); err != nil || who.User != "ann" {
		t.Errorf("%+v, %v", who, err)
	}
	_ = d.Close()
	if _, err := login(t, d, "ann", "pencil"); err != nil || len(d.pool.idle) != 0 {
		t.Errorf("a login at the end of a generation: %v, %d kept", err, len(d.pool.idle))
	}
}

func TestTLS(t *testing.T) {
	f := town(t)
	config, roots := certificate(t)
	f.tls = config
	o := options(f.url())
	o.StartTLS = true
	if _, err := login(t, open(t, o), "ann", "pencil"); err == nil || errors.Is(err, auth.ErrDenied) {
		t.Errorf("a stranger's certificate: %v", err)
	}
	o.Roots = roots
	if who, err := login(t, open(t, o), "ann", "pencil"); err != nil || who.User != "ann" {
		t.Errorf("%+v, %v", who, err)
	}
	if len(f.binds) != 2 {
		t.Errorf("%q", f.binds)
	}
}

// TestNoPasswordWithoutTLS: a server that refuses StartTLS, and what stands behind
// its answer, change nothing.
func TestNoPasswordWithoutTLS(t *testing.T) {
	_, roots := certificate(t)
	for name, answer := range map[string][]byte{
		"refused":  result(1, ldap.ApplicationExtendedResponse, 2).Bytes(),
		"other":    result(2, ldap.ApplicationExtendedResponse, 0).Bytes(),
		"bind":     result(1, ldap.ApplicationBindResponse, 0).Bytes(),
		"injected": append(result(1, ldap.ApplicationExtendedResponse, 0).Bytes(), result(2, ldap.ApplicationBindResponse, 0).Bytes()...),
	} {
		f := town(t)
		f.hostile = func(c net.Conn, _ int) bool { _, _ = c.Write(answer); return false }
		o := options(f.url())
		o.StartTLS, o.Roots = true, roots
		if _, err := login(t, open(t, o), "ann", "pencil"); err == nil || errors.Is(err, auth.ErrDenied) || len(f.binds) != 0 {
			t.Errorf("%s: %v, %q", name, err, f.binds)
		}
	}
}

func TestCheckURL(t *testing.T) {
	for u, good := range map[string]bool{
		"ldaps://ldap.example.org": true, "ldap://127.0.0.1:389": true, "ldap://[::1]/": true, "ldap://localhost": true,
		"ldapi:///run/slapd/ldapi": true, "ldapi://%2Frun%2Fslapd%2Fldapi": true, "ldap://ldap.example.org": false, "cldap://127.0.0.1": false,
		"ldapi://": false, "ldaps://u:p@h": false, "ldaps://h/dc=x": false, "ldap://127.0.0.1.example.org": false, "h": false,
	} {
		if err := CheckURL(u, false); (err == nil) != good {
			t.Errorf("%s: %v", u, err)
		}
	}
	if err := CheckURL("ldap://ldap.example.org", true); err != nil {
		t.Error(err)
	}
}

// FuzzUserInFilter: what a client calls itself is one value, whatever it is.
func FuzzUserInFilter(f *testing.F) {
	for _, s := range []string{"ann", "*", "a)(uid=*", `\2a`, "é\x00", ")("} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, user string) {
		p, err := ldap.CompileFilter(strings.ReplaceAll("(uid={user})", UserMark, ldap.EscapeFilter(user)))
		if user == "" {
			return
		}
		if err != nil || p.Tag != ldap.FilterEqualityMatch || p.Children[1].Data.String() != user {
			t.Errorf("%q: %v", user, err)
		}
	})
}
