// SPDX-License-Identifier: Apache-2.0

package kerberos

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"time"

	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/iana/flags"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"

	"github.com/postroad-mail/postroad/core/internal/auth"
)

// client is who has shown a ticket, with what the messages after it need.
type client struct {
	who     *auth.Account
	name    string // of the principal, without the realm
	realm   string
	session types.EncryptionKey
	key     types.EncryptionKey // of the messages: the client's subkey, or session
	ctime   time.Time
	cusec   int
	seq     uint32 // of the client's first message
	mutual  bool   // it wants to be shown that we have the key
}

// The library verifies an AP-REQ, too; but not the realm of the client, not which
// service the ticket is for, and with a clock and a cache of the whole process.

// accept verifies an AP-REQ (RFC 4120 §3.2.3).
func (d *Directory) accept(req *messages.APReq, p auth.Peer) (*client, error) {
	ticket, err := d.open(req)
	if err != nil {
		return nil, err
	}
	if err := d.timely(ticket); err != nil {
		return nil, err
	}
	a, err := d.authenticator(req, ticket)
	if err != nil {
		return nil, err
	}
	c := &client{session: ticket.Key, key: ticket.Key, name: a.CName.PrincipalNameString(), realm: a.CRealm, ctime: a.CTime, cusec: a.Cusec, seq: uint32(a.SeqNumber)}
	if a.SubKey.KeyType != 0 {
		c.key = a.SubKey
	}
	switch {
	case !aes(c.key):
		return nil, denied("the subkey is not of AES")
	case len(ticket.CAddr) > 0 && !types.HostAddressesContains(ticket.CAddr, types.HostAddressFromNetIP(p.Addr.Addr().Unmap().AsSlice())):
		return nil, denied("the ticket is for another address")
	case !onlyIfRelevant(ticket.AuthorizationData) || !onlyIfRelevant(a.AuthorizationData):
		return nil, denied("the ticket has a condition that is not known")
	}
	if c.who, err = d.account(ticket.CName); err != nil {
		return nil, err
	}
	if c.mutual, err = gssFlags(a.Cksum, p); err != nil {
		return nil, err
	}
	return c, d.fresh(req)
}

// open decrypts a ticket that is for us.
func (d *Directory) open(req *messages.APReq) (*messages.EncTicketPart, error) {
	t := &req.Ticket
	kt, err := d.keys.current()
	if err != nil {
		return nil, err
	}
	realm, err := d.realm(kt)
	if err != nil {
		return nil, err
	}
	if req.PVNO != 5 || !t.SName.Equal(d.service) || t.Realm != realm {
		return nil, denied("the ticket is for another service")
	}
	key, _, err := kt.GetEncryptionKey(d.service, realm, t.EncPart.KVNO, t.EncPart.EType)
	switch {
	case err != nil || !aes(key):
		return nil, denied("the keytab has no key of version %d, type %d", t.EncPart.KVNO, t.EncPart.EType)
	case !whole(t.EncPart, key):
		return nil, denied("the ticket is cut off")
	case t.Decrypt(key) != nil || !aes(t.DecryptedEncPart.Key):
		return nil, denied("the ticket is not good")
	case t.DecryptedEncPart.CRealm != realm:
		return nil, denied("the client is of another realm")
	}
	return &t.DecryptedEncPart, nil
}

// whole reports whether what is encrypted is as long as that must be; the library
// panics if it is not.
func whole(e types.EncryptedData, key types.EncryptionKey) bool {
	et, err := crypto.GetEtype(key.KeyType)
	return err == nil && len(e.Cipher) >= et.GetConfounderByteSize()+et.GetHMACBitLength()/8
}

func (d *Directory) timely(t *messages.EncTicketPart) error {
	now, start := d.o.Now(), t.StartTime
	if start.IsZero() {
		start = t.AuthTime
	}
	switch {
	case start.After(now.Add(d.o.Skew)) || types.IsFlagSet(&t.Flags, flags.Invalid):
		return denied("the ticket is not valid yet")
	case !now.Before(t.EndTime.Add(d.o.Skew)):
		return denied("the ticket has expired")
	}
	return nil
}

// authenticator decrypts what shows that the client has the ticket's key, and has
// it now.
func (d *Directory) authenticator(req *messages.APReq, t *messages.EncTicketPart) (*types.Authenticator, error) {
	if !whole(req.EncryptedAuthenticator, t.Key) || req.DecryptAuthenticator(t.Key) != nil {
		return nil, denied("the authenticator is not good")
	}
	a := &req.Authenticator
	if a.AVNO != 5 || !a.CName.Equal(t.CName) || a.CRealm != t.CRealm {
		return nil, denied("the authenticator is for another client than the ticket")
	}
	if a.Cusec < 0 || a.Cusec > 999_999 {
		return nil, denied("the authenticator has no time")
	}
	off := d.o.Now().Sub(a.CTime.Add(time.Duration(a.Cusec) * time.Microsecond))
	if off.Abs() > d.o.Skew {
		return nil, denied("the client's clock is off by %s", off)
	}
	return a, nil
}

// fresh refuses what was sent before (RFC 4120 §3.2.3): what comes later than twice
// the skew is refused for its time.
func (d *Directory) fresh(req *messages.APReq) error {
	now := d.o.Now()
	again, err := d.o.Replays.seen(sha256.Sum256(req.EncryptedAuthenticator.Cipher), now, now.Add(2*d.o.Skew))
	switch {
	case err != nil:
		return err
	case again:
		return denied("the ticket was sent a second time")
	}
	return nil
}

// onlyIfRelevant reports whether all of it may be passed over (RFC 4120 §5.2.6).
func onlyIfRelevant(data types.AuthorizationData) bool {
	return !slices.ContainsFunc(data, func(e types.AuthorizationDataEntry) bool { return e.ADType != 1 })
}

// Flags in the checksum of an authenticator (RFC 4121 §4.1.1.1).
const (
	gssChecksum  = 0x8003
	flagMutual   = 2
	flagDCEStyle = 0x1000
)

// gssFlags reads the checksum that carries flags and channel bindings (RFC 4121
// §4.1.1). Bindings must be those of the connection, if the client sends any.
func gssFlags(sum types.Checksum, p auth.Peer) (mutual bool, err error) {
	b := sum.Checksum
	if sum.CksumType != gssChecksum || len(b) < 24 || binary.LittleEndian.Uint32(b) != 16 {
		return false, denied("the authenticator is not of GSSAPI")
	}
	bound := b[4:20]
	if !bytes.Equal(bound, make([]byte, 16)) && !slices.ContainsFunc(bindings(p.TLS), func(ours []byte) bool { return bytes.Equal(ours, bound) }) {
		return false, denied("the channel bindings are of another connection")
	}
	set := binary.LittleEndian.Uint32(b[20:])
	if set&flagDCEStyle != 0 {
		return false, denied("DCE style is not SASL")
	}
	return set&flagMutual != 0, nil
}
