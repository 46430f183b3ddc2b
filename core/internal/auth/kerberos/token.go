// SPDX-License-Identifier: Apache-2.0

package kerberos

import (
	"bytes"
	"crypto/md5" //nolint:gosec // RFC 4121 §4.1.1.2 hashes channel bindings by it
	"crypto/rand"
	"encoding/asn1"
	"encoding/binary"

	"github.com/jcmturner/gokrb5/v8/asn1tools"
	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/gssapi"
	"github.com/jcmturner/gokrb5/v8/iana/asnAppTag"
	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/iana/msgtype"
	"github.com/jcmturner/gokrb5/v8/messages"
)

// krb5OID is 1.2.840.113554.1.2.2 in DER (RFC 4121 §4.1).
const krb5OID = "\x06\x09\x2a\x86\x48\x86\xf7\x12\x01\x02\x02"

// What tokens begin with, behind the OID (RFC 4121 §4.1).
const (
	tokenAPReq = "\x01\x00"
	tokenAPRep = "\x02\x00"
)

// parseRequest reads a client's first token (RFC 2743 §3.1, RFC 4121 §4.1).
func parseRequest(token []byte) (*messages.APReq, error) {
	var outer asn1.RawValue
	rest, err := asn1.Unmarshal(token, &outer)
	if err != nil || len(rest) > 0 || outer.Class != asn1.ClassApplication || outer.Tag != 0 || !outer.IsCompound {
		return nil, denied("this is no token of GSSAPI")
	}
	inner, ok := bytes.CutPrefix(outer.Bytes, []byte(krb5OID+tokenAPReq))
	if !ok {
		return nil, denied("the token is not of Kerberos")
	}
	var req messages.APReq
	if req.Unmarshal(inner) != nil {
		return nil, denied("the token holds no AP-REQ")
	}
	return &req, nil
}

// reply makes the token with an AP-REP, which shows that we have the key (RFC 4120
// §3.2.4); seq is the number of our first message.
func reply(c *client, seq uint32) ([]byte, error) {
	part, err := asn1.Marshal(messages.EncAPRepPart{CTime: c.ctime, Cusec: c.cusec, SequenceNumber: int64(seq)})
	if err != nil {
		return nil, err
	}
	sealed, err := crypto.GetEncryptedData(asn1tools.AddASNAppTag(part, asnAppTag.EncAPRepPart), c.session, keyusage.AP_REP_ENCPART, 0)
	if err != nil {
		return nil, err
	}
	rep, err := asn1.Marshal(messages.APRep{PVNO: 5, MsgType: msgtype.KRB_AP_REP, EncPart: sealed})
	if err != nil {
		return nil, err
	}
	return asn1tools.AddASNAppTag(append([]byte(krb5OID+tokenAPRep), asn1tools.AddASNAppTag(rep, asnAppTag.APREP)...), 0), nil
}

// newSequence returns a number of 30 bits: those of 32 are read in two ways.
func newSequence() uint32 {
	var b [4]byte
	_, _ = rand.Read(b[:]) // it never fails
	return binary.BigEndian.Uint32(b[:]) >> 2
}

// Flags of a wrap token (RFC 4121 §4.2.2).
const (
	sentByAcceptor = 1
)

// wrap signs a message of ours (RFC 4121 §4.2.6.2); it is not encrypted.
func wrap(c *client, seq uint32, payload []byte) ([]byte, error) {
	et, err := crypto.GetEtype(c.key.KeyType)
	if err != nil {
		return nil, err
	}
	t := gssapi.WrapToken{Flags: sentByAcceptor, EC: uint16(et.GetHMACBitLength() / 8), SndSeqNum: uint64(seq), Payload: payload}
	if err := t.SetCheckSum(c.key, keyusage.GSSAPI_ACCEPTOR_SEAL); err != nil {
		return nil, err
	}
	return t.Marshal()
}

// unwrap verifies the client's message and returns what it says.
func unwrap(c *client, token []byte) ([]byte, error) {
	var t gssapi.WrapToken
	if len(token) < gssapi.HdrLen {
		return nil, denied("the message is cut off")
	}
	if t.Unmarshal(rotated(token), false) != nil || t.Flags&^byte(sentByAcceptor) != 0 {
		return nil, denied("the message is not signed alone")
	}
	if ok, err := t.Verify(c.key, keyusage.GSSAPI_INITIATOR_SEAL); err != nil || !ok || uint32(t.SndSeqNum) != c.seq {
		return nil, denied("the signature of the message is not good")
	}
	return t.Payload, nil
}

// rotated undoes the rotation to the right that some clients make (RFC 4121
// §4.2.5).
func rotated(token []byte) []byte {
	head, data := token[:gssapi.HdrLen], token[gssapi.HdrLen:]
	if len(data) == 0 {
		return token
	}
	by := int(binary.BigEndian.Uint16(head[6:])) % len(data)
	return bytes.Join([][]byte{head, data[by:], data[:by]}, nil)
}

// hashBinding is the hash of channel bindings without addresses (RFC 4121
// §4.1.1.2).
func hashBinding(data string) []byte {
	b := make([]byte, 16, 20+len(data))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(data)))
	sum := md5.Sum(append(b, data...)) //nolint:gosec // as above
	return sum[:]
}
