// SPDX-License-Identifier: Apache-2.0

package kerberos

import (
	"crypto/rand"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	gofork "github.com/jcmturner/gofork/encoding/asn1"
	"github.com/jcmturner/gokrb5/v8/asn1tools"
	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/gssapi"
	"github.com/jcmturner/gokrb5/v8/iana/asnAppTag"
	"github.com/jcmturner/gokrb5/v8/iana/etypeID"
	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/iana/nametype"
	"github.com/jcmturner/gokrb5/v8/keytab"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"

	"github.com/postroad-mail/postroad/core/internal/auth"
)

const (
	service = "smtp/mx.example.org"
	realm   = "EXAMPLE.ORG"
	aes256  = etypeID.AES256_CTS_HMAC_SHA1_96
)

// day is when it is in these tests.
func day() time.Time { return time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC) }

// writeKeytab writes a keytab with a key of each principal, and returns it too.
func writeKeytab(t testing.TB, etype int32, version uint8, principals ...string) (string, *keytab.Keytab) {
	t.Helper()
	kt := keytab.New()
	for _, p := range principals {
		name, in := types.ParseSPNString(p)
		if err := kt.AddEntry(name.PrincipalNameString(), in, "password", day(), version, etype); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(t.TempDir(), "keytab")
	replaceKeytab(t, path, kt)
	return path, kt
}

func replaceKeytab(t testing.TB, path string, kt *keytab.Keytab) {
	t.Helper()
	b, err := kt.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// party is the KDC and a client of it, each field as a good one has it.
type party struct {
	kt            *keytab.Keytab
	etype         int32
	version       int
	service       string
	in            string // realm of the service
	name, realm   string // of the client
	flags         uint32
	bindings      [16]byte
	start, end    time.Time
	now           time.Time
	ticketFlags   []byte
	addresses     types.HostAddresses
	conditions    types.AuthorizationData
	authenticated func(*types.Authenticator)
	layer         string
	as            string
	rotate        uint16
}

func newParty(kt *keytab.Keytab) *party {
	return &party{
		kt: kt, etype: aes256, version: 1, service: service, in: realm, name: "ann", realm: realm, flags: flagMutual,
		start: day().Add(-time.Hour), end: day().Add(time.Hour), now: day(), ticketFlags: make([]byte, 4), layer: noLayer,
	}
}

func must[T any](t testing.TB, v T, err error) T {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// ticket makes what a KDC would.
func (p *party) ticket(t testing.TB) (messages.Ticket, types.EncryptionKey) {
	t.Helper()
	name, in := types.NewPrincipalName(nametype.KRB_NT_SRV_INST, p.service), p.in
	key := types.EncryptionKey{KeyType: p.etype, KeyValue: random(32)}
	if p.etype == etypeID.AES128_CTS_HMAC_SHA1_96 || p.etype == etypeID.AES128_CTS_HMAC_SHA256_128 {
		key.KeyValue = random(16)
	}
	part := messages.EncTicketPart{
		Flags: gofork.BitString{Bytes: p.ticketFlags, BitLength: 32}, Key: key, CRealm: p.realm, CName: types.NewPrincipalName(nametype.KRB_NT_PRINCIPAL, p.name),
		AuthTime: p.start, StartTime: p.start, EndTime: p.end, CAddr: p.addresses, AuthorizationData: p.conditions,
	}
	raw := asn1tools.AddASNAppTag(must2(t)(gofork.Marshal(part)), asnAppTag.EncTicketPart)
	ours, _, err := p.kt.GetEncryptionKey(name, in, p.version, p.etype)
	sealed, err2 := crypto.GetEncryptedData(raw, must(t, ours, err), keyusage.KDC_REP_TICKET, p.version)
	return messages.Ticket{TktVNO: 5, Realm: in, SName: name, EncPart: must(t, sealed, err2)}, key
}

func must2(t testing.TB) func([]byte, error) []byte {
	return func(b []byte, err error) []byte { t.Helper(); return must(t, b, err) }
}

// first makes the client's first token.
func (p *party) first(t testing.TB) ([]byte, *client) {
	t.Helper()
	ticket, session := p.ticket(t)
	sum := binary.LittleEndian.AppendUint32(nil, 16)
	sum = binary.LittleEndian.AppendUint32(append(sum, p.bindings[:]...), p.flags)
	a := types.Authenticator{
		AVNO: 5, CRealm: p.realm, CName: types.NewPrincipalName(nametype.KRB_NT_PRINCIPAL, p.name), Cksum: types.Checksum{CksumType: gssChecksum, Checksum: sum},
		CTime: p.now.Truncate(time.Second), Cusec: 17, SeqNumber: 1 << 29, SubKey: types.EncryptionKey{KeyType: session.KeyType, KeyValue: random(len(session.KeyValue))},
	}
	if p.authenticated != nil {
		p.authenticated(&a)
	}
	req, err := messages.NewAPReq(ticket, session, a)
	body := must2(t)(must(t, &req, err).Marshal())
	token := asn1tools.AddASNAppTag(append([]byte(krb5OID+tokenAPReq), body...), 0)
	c := &client{session: session, key: session, ctime: a.CTime, cusec: a.Cusec, seq: uint32(a.SeqNumber)}
	if a.SubKey.KeyType != 0 {
		c.key = a.SubKey
	}
	return token, c
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return b
}

// login plays the client against a directory.
func (p *party) login(t testing.TB, d *Directory) (*auth.Account, error) {
	t.Helper()
	token, c := p.first(t)
	x := d.Begin("GSSAPI", auth.Peer{Addr: netip.MustParseAddrPort("192.0.2.1:40000")})
	challenge, who, err := x.Next(t.Context(), nil)
	if err != nil || who != nil || challenge == nil || len(challenge) > 0 {
		t.Fatalf("asked for a ticket: %q %v %v", challenge, who, err)
	}
	if challenge, who, err = x.Next(t.Context(), token); err != nil || who != nil {
		return who, err
	}
	seq := uint64(c.seq)
	if p.flags&flagMutual != 0 {
		seq = p.checkReply(t, c, challenge)
		if challenge, who, err = x.Next(t.Context(), []byte{}); err != nil || who != nil {
			return who, err
		}
	}
	checkOffer(t, c, challenge, seq)
	_, who, err = x.Next(t.Context(), p.choice(t, c))
	if _, _, again := x.Next(t.Context(), []byte{}); again == nil {
		t.Error("the exchange goes on after its end")
	}
	return who, err
}

// checkReply looks at the AP-REP as a client does, and returns the sequence number.
func (p *party) checkReply(t testing.TB, c *client, token []byte) uint64 {
	t.Helper()
	var outer asn1.RawValue
	if _, err := asn1.Unmarshal(token, &outer); err != nil || !strings.HasPrefix(string(outer.Bytes), krb5OID+tokenAPRep) {
		t.Fatalf("%x: %v", token, err)
	}
	var rep messages.APRep
	if err := rep.Unmarshal(outer.Bytes[len(krb5OID)+2:]); err != nil {
		t.Fatal(err)
	}
	b, err := crypto.DecryptEncPart(rep.EncPart, c.session, keyusage.AP_REP_ENCPART)
	var part messages.EncAPRepPart
	if err := part.Unmarshal(must(t, b, err)); err != nil {
		t.Fatal(err)
	}
	if !part.CTime.Equal(c.ctime) || part.Cusec != c.cusec {
		t.Errorf("the reply is for %s %d", part.CTime, part.Cusec)
	}
	return uint64(part.SequenceNumber)
}

func checkOffer(t testing.TB, c *client, token []byte, seq uint64) {
	t.Helper()
	var w gssapi.WrapToken
	if err := w.Unmarshal(token, true); err != nil {
		t.Fatal(err)
	}
	if ok, err := w.Verify(c.key, keyusage.GSSAPI_ACCEPTOR_SEAL); !ok || string(w.Payload) != noLayer || w.SndSeqNum != seq {
		t.Fatalf("%+v: %v", w, err)
	}
}

// choice makes the client's last message.
func (p *party) choice(t testing.TB, c *client) []byte {
	t.Helper()
	w, err := gssapi.NewInitiatorWrapToken([]byte(p.layer+p.as), c.key)
	must(t, w, err).SndSeqNum = uint64(c.seq)
	w.CheckSum = nil
	if err := w.SetCheckSum(c.key, keyusage.GSSAPI_INITIATOR_SEAL); err != nil {
		t.Fatal(err)
	}
	b := must2(t)(w.Marshal())
	data := b[gssapi.HdrLen:]
	by := len(data) - int(p.rotate)
	binary.BigEndian.PutUint16(b[6:], p.rotate)
	return slices.Concat(b[:gssapi.HdrLen], data[by:], data[:by])
}

func open(t testing.TB, path string, change func(*Options)) *Directory {
	t.Helper()
	o := Options{Keytab: path, Principal: service, Skew: 5 * time.Minute, Now: day}
	if change != nil {
		change(&o)
	}
	d, err := Open(o)
	return must(t, d, err)
}

func isDenied(err error) bool { return errors.Is(err, auth.ErrDenied) }

func TestATicketLogsItsUserIn(t *testing.T) {
	for _, etype := range []int32{etypeID.AES128_CTS_HMAC_SHA1_96, aes256, etypeID.AES128_CTS_HMAC_SHA256_128, etypeID.AES256_CTS_HMAC_SHA384_192} {
		path, kt := writeKeytab(t, etype, 1, service+"@"+realm)
		for name, change := range map[string]func(*party){
			"as it should be":          func(*party) {},
			"one way":                  func(p *party) { p.flags = 0 },
			"no subkey":                func(p *party) { p.authenticated = func(a *types.Authenticator) { a.SubKey = types.EncryptionKey{} } },
			"as itself":                func(p *party) { p.as = "ann" },
			"as itself, with realm":    func(p *party) { p.as = "ann@" + realm },
			"as its account":           func(p *party) { p.as = "ann@example.org" },
			"rotated":                  func(p *party) { p.rotate = 12 },
			"clock late within skew":   func(p *party) { p.now = day().Add(-4 * time.Minute) },
			"ended within skew":        func(p *party) { p.end = day().Add(-4 * time.Minute) },
			"for its address":          func(p *party) { p.addresses = types.HostAddresses{{AddrType: 2, Address: []byte{192, 0, 2, 1}}} },
			"with what can be ignored": func(p *party) { p.conditions = types.AuthorizationData{{ADType: 1, ADData: []byte{0x30, 0}}} },
		} {
			p := newParty(kt)
			p.etype = etype
			change(p)
			d := open(t, path, func(o *Options) { o.Domain, o.Tenant = "example.org", "shop" })
			who, err := p.login(t, d)
			if err != nil || who.User != "ann@example.org" || who.Tenant != "shop" {
				t.Errorf("type %d, %s: %+v %v", etype, name, who, err)
			}
		}
	}
}

func TestTicketsThatAreDenied(t *testing.T) {
	path, kt := writeKeytab(t, aes256, 1, service+"@"+realm, "imap/mx.example.org@"+realm, service+"@OTHER.ORG")
	_, others := writeKeytab(t, aes256, 2, service+"@"+realm)
	_, stolen := writeKeytab(t, aes256, 1, service+"@"+realm)
	stolen.Entries[0].Key.KeyValue = random(32)
	authenticated := func(f func(*types.Authenticator)) func(*party) { return func(p *party) { p.authenticated = f } }
	for name, change := range map[string]func(*party){
		"expired":                    func(p *party) { p.end = day().Add(-5 * time.Minute) },
		"not valid yet":              func(p *party) { p.start = day().Add(6 * time.Minute) },
		"marked invalid":             func(p *party) { p.ticketFlags[0] = 1 },
		"clock late":                 func(p *party) { p.now = day().Add(-6 * time.Minute) },
		"clock early":                func(p *party) { p.now = day().Add(6 * time.Minute) },
		"microseconds of centuries":  authenticated(func(a *types.Authenticator) { a.Cusec = 1 << 50 }),
		"another service":            func(p *party) { p.service = "imap/mx.example.org" },
		"another realm":              func(p *party) { p.in, p.realm = "OTHER.ORG", "OTHER.ORG" },
		"a client of another realm":  func(p *party) { p.realm = "OTHER.ORG" },
		"realm of the authenticator": authenticated(func(a *types.Authenticator) { a.CRealm = "OTHER.ORG" }),
		"name of the authenticator":  authenticated(func(a *types.Authenticator) { a.CName.NameString = []string{"bob"} }),
		"a key that we do not have":  func(p *party) { p.kt, p.version = others, 2 },
		"a key of somebody else":     func(p *party) { p.kt = stolen },
		"for another address":        func(p *party) { p.addresses = types.HostAddresses{{AddrType: 2, Address: []byte{192, 0, 2, 9}}} },
		"a condition not known":      func(p *party) { p.conditions = types.AuthorizationData{{ADType: 9, ADData: []byte{1}}} },
		"bindings, without TLS":      func(p *party) { p.bindings[3] = 1 },
		"DCE style":                  func(p *party) { p.flags |= flagDCEStyle },
		"no checksum":                authenticated(func(a *types.Authenticator) { a.Cksum = types.Checksum{} }),
		"a checksum cut off":         authenticated(func(a *types.Authenticator) { a.Cksum.Checksum = a.Cksum.Checksum[:20] }),
		"another checksum":           authenticated(func(a *types.Authenticator) { a.Cksum.CksumType = 16 }),
		"a subkey of RC4": authenticated(func(a *types.Authenticator) {
			a.SubKey = types.EncryptionKey{KeyType: etypeID.RC4_HMAC, KeyValue: random(16)}
		}),
		"a subkey too short":     authenticated(func(a *types.Authenticator) { a.SubKey.KeyValue = random(3) }),
		"no name":                func(p *party) { p.name = "" },
		"a name with a realm":    func(p *party) { p.name = "ann@EVIL.ORG" },
		"a name with a line end": func(p *party) { p.name = "ann\r\n" },
		"a name without end":     func(p *party) { p.name = strings.Repeat("a", 300) },
		"as somebody else":       func(p *party) { p.as = "bob" },
		"as no text":             func(p *party) { p.as = "\xff" },
		"integrity, not offered": func(p *party) { p.layer = "\x02\x00\x10\x00" },
		"a size without a layer": func(p *party) { p.layer = "\x01\x00\x10\x00" },
		"an answer cut off":      func(p *party) { p.layer = "\x01" },
	} {
		t.Run(name, func(t *testing.T) {
			p := newParty(kt)
			change(p)
			if who, err := p.login(t, open(t, path, func(o *Options) { o.Realm = realm })); !isDenied(err) {
				t.Errorf("%+v %v", who, err)
			}
		})
	}
}

func TestATokenCountsOnce(t *testing.T) {
	path, kt := writeKeytab(t, aes256, 1, service+"@"+realm)
	now, replays := day(), NewReplays()
	same := func(o *Options) { o.Replays, o.Now = replays, func() time.Time { return now } }
	token, _ := newParty(kt).first(t)
	for n, want := range []error{nil, auth.ErrDenied, auth.ErrDenied} { // each by a directory of its own, as after a reload
		_, _, err := open(t, path, same).Begin("GSSAPI", auth.Peer{}).Next(t.Context(), token)
		if !errors.Is(err, want) {
			t.Errorf("time %d: %v", n+1, err)
		}
	}
	now = now.Add(11 * time.Minute)
	p := newParty(kt)
	p.now = now
	if _, err := p.login(t, open(t, path, same)); err != nil || len(replays.until) != 1 {
		t.Errorf("%v; %d are remembered", err, len(replays.until))
	}
}

func TestAFullMemoryOfReplaysIsAFault(t *testing.T) {
	r := NewReplays()
	for n := range uint32(maxReplays) {
		r.until[[32]byte(binary.BigEndian.AppendUint32(make([]byte, 28), n))] = day().Add(time.Minute)
	}
	r.prune = day().Add(time.Minute)
	if again, err := r.seen([32]byte{1}, day(), day().Add(time.Minute)); again || err == nil || isDenied(err) {
		t.Error(again, err)
	}
	if again, err := r.seen([32]byte{1}, day().Add(time.Minute), day().Add(2*time.Minute)); again || err != nil {
		t.Error(again, err)
	}
}

func TestKeytabs(t *testing.T) {
	path, _ := writeKeytab(t, aes256, 1, service+"@"+realm)
	two, _ := writeKeytab(t, aes256, 1, service+"@"+realm, service+"@OTHER.ORG")
	weak, _ := writeKeytab(t, etypeID.RC4_HMAC, 1, service+"@"+realm)
	shown, _ := writeKeytab(t, aes256, 1, service+"@"+realm)
	if err := os.Chmod(shown, 0o644); err != nil {
		t.Fatal(err)
	}
	broken := filepath.Join(t.TempDir(), "broken")
	if err := os.WriteFile(broken, []byte("\x05\x02\x00\x00\x00\x10secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		o    Options
		want string
	}{
		"of another service": {Options{Keytab: path, Principal: "smtp/other"}, "no AES key of smtp/other"},
		"of another realm":   {Options{Keytab: path, Principal: service, Realm: "OTHER.ORG"}, "but in " + realm},
		"of two realms":      {Options{Keytab: two, Principal: service}, "several realms"},
		"of RC4":             {Options{Keytab: weak, Principal: service}, "no AES key"},
		"for all to read":    {Options{Keytab: shown, Principal: service}, "chmod 600"},
		"none":               {Options{Keytab: broken, Principal: service}, "this is no keytab"},
	} {
		if _, err := Open(c.o); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAKeytabIsReadAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "late")
	d := open(t, path, nil)
	_, old := writeKeytab(t, aes256, 1, service+"@"+realm)
	if _, err := newParty(old).login(t, d); err == nil || isDenied(err) || d.Fault() == nil {
		t.Errorf("without a keytab: %v, %v", err, d.Fault())
	}
	replaceKeytab(t, path, old)
	if _, err := newParty(old).login(t, d); err != nil {
		t.Error(err)
	}
	_, next := writeKeytab(t, aes256, 2, service+"@"+realm, "other@"+realm)
	replaceKeytab(t, path, next)
	p := newParty(next)
	p.version = 2
	if _, err := p.login(t, d); err != nil {
		t.Error(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := p.login(t, d); err != nil || d.Fault() == nil {
		t.Errorf("a keytab that has gone is gone by: %v, %v", err, d.Fault())
	}
}

// TestCiphertextsThatAreCutOffDoNotPanic: the library slices without a look.
func TestCiphertextsThatAreCutOffDoNotPanic(t *testing.T) {
	path, kt := writeKeytab(t, aes256, 1, service+"@"+realm)
	d := open(t, path, nil)
	for n := range 40 {
		ticket, session := newParty(kt).ticket(t)
		req, err := messages.NewAPReq(ticket, session, types.Authenticator{AVNO: 5, CTime: day()})
		must(t, req, err)
		for _, cut := range []*types.EncryptedData{&req.Ticket.EncPart, &req.EncryptedAuthenticator} {
			whole := cut.Cipher
			cut.Cipher = whole[:n]
			body := must2(t)(req.Marshal())
			token := asn1tools.AddASNAppTag(append([]byte(krb5OID+tokenAPReq), body...), 0)
			if _, _, err := d.Begin("GSSAPI", auth.Peer{}).Next(t.Context(), token); !isDenied(err) {
				t.Errorf("%d octets: %v", n, err)
			}
			cut.Cipher = whole
		}
	}
}

func TestAPanicIsAFault(t *testing.T) {
	x := &exchange{d: nil, step: (*exchange).choice}
	if _, who, err := x.Next(t.Context(), newParty(nil).choice(t, &client{key: types.EncryptionKey{KeyType: aes256, KeyValue: random(32)}})); err == nil || who != nil || isDenied(err) {
		t.Error(who, err)
	}
}

// FuzzFirstToken: no token of a client without a ticket gets further, and none panics.
func FuzzFirstToken(f *testing.F) {
	path, kt := writeKeytab(f, aes256, 1, service+"@"+realm)
	good, _ := newParty(kt).first(f)
	f.Add(good)
	f.Add(good[:60])
	f.Add([]byte{})
	for _, at := range []int{1, 3, 20, 60, 100, len(good) / 2, len(good) - 1} {
		f.Add(slices.Concat(good[:at], []byte{good[at] ^ 0x41}, good[at+1:]))
	}
	d := open(f, path, nil)
	f.Fuzz(func(t *testing.T, token []byte) {
		_, who, err := d.Begin("GSSAPI", auth.Peer{}).Next(t.Context(), token)
		if who != nil || err != nil && !isDenied(err) {
			t.Errorf("%x: %+v %v", token, who, err)
		}
	})
}

// FuzzUnwrap: no message is taken that the key did not sign.
func FuzzUnwrap(f *testing.F) {
	c := &client{key: types.EncryptionKey{KeyType: aes256, KeyValue: make([]byte, 32)}}
	p := newParty(nil)
	f.Add(p.choice(f, c))
	p.rotate = 5
	f.Add(p.choice(f, c))
	f.Add(make([]byte, gssapi.HdrLen))
	c.key.KeyValue = random(32)
	f.Fuzz(func(t *testing.T, token []byte) {
		if said, err := unwrap(c, token); err == nil || !isDenied(err) {
			t.Errorf("%x: %q %v", token, said, err)
		}
	})
}

func FuzzKeytab(f *testing.F) {
	path, _ := writeKeytab(f, aes256, 1, service+"@"+realm)
	b, err := os.ReadFile(path)
	f.Add(must(f, b, err))
	f.Add([]byte{5, 1})
	f.Fuzz(func(_ *testing.T, b []byte) {
		if kt, err := parse(strings.NewReader(string(b))); err == nil {
			realmsOf(kt, types.NewPrincipalName(1, service))
		}
	})
}
