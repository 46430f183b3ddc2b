// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"encoding/binary"
	"fmt"
)

// idLen is the length of an id: a ULID, 10 characters of time and 16 of chance.
const idLen = 26

// kind is the second octet of a key.
type kind byte

const (
	kindContent  kind = 'c'
	kindEnvelope kind = 'e'
	kindHold     kind = 'h'
	kindState    kind = 'r'

	kindSuspension kind = 's' // the id is the suspension's
)

const keyLen = 2 + idLen

// CheckID says what keeps an id from being one of the queue's.
func CheckID(id string) error { return checkID(id) }

// checkID makes sure that an id is safe as a key and as a file's name.
func checkID(id string) error {
	if len(id) != idLen {
		return fmt.Errorf("message id %q has not %d characters", id, idLen)
	}
	for i := 0; i < len(id); i++ {
		if c := id[i]; (c < '0' || c > '9') && (c < 'A' || c > 'Z') {
			return fmt.Errorf("message id %q is not made of capital letters and digits", id)
		}
	}
	return nil
}

func appendKey(b []byte, k kind, id string) []byte {
	return append(append(b, 'q', byte(k)), id...)
}

func key(k kind, id string) []byte { return appendKey(make([]byte, 0, keyLen), k, id) }

func stateKey(id string, rcpt int) []byte {
	b := appendKey(make([]byte, 0, keyLen+4), kindState, id)
	return binary.BigEndian.AppendUint32(b, uint32(rcpt))
}

// bounds returns the first key of a kind, and the first behind all of them.
func bounds(k kind) (from, to []byte) { return []byte{'q', byte(k)}, []byte{'q', byte(k) + 1} }

// splitKey takes a key apart; rcpt is only meaningful for a state.
func splitKey(b []byte) (id string, rcpt int, err error) {
	want := keyLen
	if len(b) > 1 && kind(b[1]) == kindState {
		want += 4
	}
	if len(b) != want {
		return "", 0, fmt.Errorf("key %q has %d octets, not %d", b, len(b), want)
	}
	id = string(b[2:keyLen])
	if want > keyLen {
		rcpt = int(binary.BigEndian.Uint32(b[keyLen:]))
	}
	return id, rcpt, checkID(id)
}
