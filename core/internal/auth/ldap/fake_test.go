// SPDX-License-Identifier: Apache-2.0

package ldap

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http/httptest"
	"sync"
	"testing"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
)

// person is an entry of the fake server.
type person struct {
	dn, password string
	attributes   map[string][]string
}

// fake is an LDAP server of a few entries, which filters find.
type fake struct {
	net.Listener
	tls *tls.Config

	mu       sync.Mutex
	found    map[string][]person // by filter, and by DN for a search of one entry
	binds    []string            // "DN password"
	conns    []net.Conn
	requests int
	// hostile, if set, answers the request with this number, from 1, in place of
	// the server; false ends the connection.
	hostile func(c net.Conn, request int) bool
}

func startFake(t *testing.T) *fake {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{Listener: l, found: map[string][]person{}}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f.mu.Lock()
			f.conns = append(f.conns, c)
			f.mu.Unlock()
			serving.Go(func() { f.serve(c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		f.drop()
		serving.Wait()
	})
	return f
}

// drop ends all connections.
func (f *fake) drop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.conns {
		_ = c.Close()
	}
	f.conns = nil
}

func (f *fake) url() string { return "ldap://" + f.Addr().String() }

func (f *fake) serve(c net.Conn) {
	defer func() { _ = c.Close() }()
	for {
		p, err := ber.ReadPacket(c)
		if err != nil || len(p.Children) < 2 {
			return
		}
		if !f.answer(&c, p) {
			return
		}
	}
}

// answer answers one request.
func (f *fake) answer(c *net.Conn, p *ber.Packet) bool {
	f.mu.Lock()
	f.requests++
	n, hostile := f.requests, f.hostile
	f.mu.Unlock()
	if hostile != nil {
		return hostile(*c, n)
	}
	id, op := p.Children[0].Value.(int64), p.Children[1]
	switch op.Tag {
	case ldap.ApplicationBindRequest:
		code := f.bind(op.Children[1].Value.(string), op.Children[2].Data.String())
		return send(*c, id, ldap.ApplicationBindResponse, code)
	case ldap.ApplicationSearchRequest:
		return f.search(*c, id, op)
	case ldap.ApplicationExtendedRequest:
		if !send(*c, id, ldap.ApplicationExtendedResponse, 0) {
			return false
		}
		*c = tls.Server(*c, f.tls)
		return true
	}
	return false
}

func (f *fake) bind(dn, password string) int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.binds = append(f.binds, dn+" "+password)
	if dn == serviceDN && password == "service" {
		return 0
	}
	for _, people := range f.found {
		for _, p := range people {
			if p.dn == dn && p.password == password {
				return 0
			}
		}
	}
	return ldap.LDAPResultInvalidCredentials
}

func (f *fake) search(c net.Conn, id int64, op *ber.Packet) bool {
	filter, err := ldap.DecompileFilter(op.Children[6])
	if err != nil {
		return false
	}
	f.mu.Lock()
	people := f.found[filter]
	if op.Children[1].Value == int64(ldap.ScopeBaseObject) {
		people = f.found[op.Children[0].Value.(string)]
	}
	f.mu.Unlock()
	for _, p := range people {
		if _, err := c.Write(entry(id, p).Bytes()); err != nil {
			return false
		}
	}
	return send(c, id, ldap.ApplicationSearchResultDone, 0)
}

func message(id int64, op *ber.Packet) *ber.Packet {
	m := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSequence, nil, "")
	m.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, id, ""))
	m.AppendChild(op)
	return m
}

func octets(s string) *ber.Packet {
	return ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, s, "")
}

func result(id int64, tag ber.Tag, code int64) *ber.Packet {
	r := ber.Encode(ber.ClassApplication, ber.TypeConstructed, tag, nil, "")
	r.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagEnumerated, code, ""))
	r.AppendChild(octets(""))
	r.AppendChild(octets("said the server"))
	return message(id, r)
}

func send(c net.Conn, id int64, tag ber.Tag, code int64) bool {
	_, err := c.Write(result(id, tag, code).Bytes())
	return err == nil
}

func entry(id int64, p person) *ber.Packet {
	e := ber.Encode(ber.ClassApplication, ber.TypeConstructed, ldap.ApplicationSearchResultEntry, nil, "")
	e.AppendChild(octets(p.dn))
	list := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSequence, nil, "")
	for name, values := range p.attributes {
		a := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSequence, nil, "")
		a.AppendChild(octets(name))
		set := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSet, nil, "")
		for _, v := range values {
			set.AppendChild(octets(v))
		}
		a.AppendChild(set)
		list.AppendChild(a)
	}
	e.AppendChild(list)
	return message(id, e)
}

// certificate returns one for 127.0.0.1, and who trusts it.
func certificate(t *testing.T) (*tls.Config, *x509.CertPool) {
	t.Helper()
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	return &tls.Config{Certificates: s.TLS.Certificates, MinVersion: tls.VersionTLS12}, roots
}
