// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
)

// crockford is the alphabet of ULIDs.
const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// DSNID derives the id of the DSN of kind n for some recipients of a message, in
// ascending order: the same report gets the same id however often it is made, so
// that it is queued once. Its first ten characters, the time, are the original's. The
// original must be a queued message's id.
func DSNID(original string, recipients []int, n int) string {
	h := sha256.New()
	h.Write([]byte("postroad dsn " + original))
	for _, i := range append([]int{n}, recipients...) {
		h.Write(binary.BigEndian.AppendUint32(nil, uint32(i)))
	}
	enc := base32.NewEncoding(crockford).WithPadding(base32.NoPadding)
	return original[:10] + enc.EncodeToString(h.Sum(nil)[:10])
}
