// SPDX-License-Identifier: Apache-2.0

package metering

import (
	"fmt"
	"unicode/utf8"
)

// reader decodes the binary format from one stretch of the module. The first
// fault sticks; from then on everything reads as zero and nothing is left, so
// that callers check the error once, at the end.
type reader struct {
	data []byte
	pos  int
	base int // offset of data in the module
	err  *Error
}

func (r *reader) fail(kind error, format string, args ...any) {
	if r.err == nil {
		r.err = &Error{Kind: kind, Offset: r.base + r.pos, Detail: fmt.Sprintf(format, args...)}
	}
	r.pos = len(r.data)
}

// refuse fails for something unsupported that began at start.
func (r *reader) refuse(start int, what string) {
	r.pos = start
	r.fail(ErrUnsupported, "%s", what)
}

func (r *reader) left() int { return len(r.data) - r.pos }

func (r *reader) more() bool { return r.err == nil && r.pos < len(r.data) }

func (r *reader) byte() byte {
	if r.pos >= len(r.data) {
		r.fail(ErrMalformed, "unexpected end")
		return 0
	}
	b := r.data[r.pos]
	r.pos++
	return b
}

// bytes returns the next n octets, a view into the module.
func (r *reader) bytes(n uint32) []byte {
	if uint64(n) > uint64(r.left()) {
		r.fail(ErrMalformed, "%d octets announced, %d left", n, r.left())
		return nil
	}
	b := r.data[r.pos : r.pos+int(n)]
	r.pos += int(n)
	return b
}

// sub returns a reader for the next n octets.
func (r *reader) sub(n uint32) *reader {
	s := &reader{base: r.base + r.pos}
	s.data = r.bytes(n)
	s.err = r.err
	return s
}

// end demands that all was read.
func (r *reader) end(what string) {
	if r.err == nil && r.pos != len(r.data) {
		r.fail(ErrMalformed, "%d trailing octets in %s", r.left(), what)
	}
}

// fault returns the sticking error as an error.
func (r *reader) fault() error {
	if r.err == nil {
		return nil
	}
	return r.err
}

// u32 reads an unsigned LEB128 of 32 bits.
func (r *reader) u32() uint32 {
	if r.pos < len(r.data) && r.data[r.pos] < 0x80 {
		r.pos++
		return uint32(r.data[r.pos-1])
	}
	return r.longU32()
}

func (r *reader) longU32() (v uint32) {
	for shift := 0; shift < 35; shift += 7 {
		b := r.byte()
		if shift == 28 && b > 0x0f {
			break
		}
		v |= uint32(b&0x7f) << shift
		if b < 0x80 {
			return v
		}
	}
	r.fail(ErrMalformed, "integer is too long")
	return 0
}

// signed reads a signed LEB128 of 32, 33 or 64 bits.
func (r *reader) signed(bits int) (v int64) {
	for shift := 0; shift < bits; shift += 7 {
		b := r.byte()
		v |= int64(b&0x7f) << shift
		if rest := bits - shift; rest < 7 && !fits(b, rest) {
			break
		}
		if b >= 0x80 {
			continue
		}
		if shift += 7; shift < 64 && b&0x40 != 0 {
			v |= -1 << shift
		}
		return v
	}
	r.fail(ErrMalformed, "integer is too long")
	return 0
}

// fits reports whether b is a last octet of a signed LEB128 of which only the
// low bits count: the others repeat the sign.
func fits(b byte, bits int) bool {
	top := b & 0x7f >> (bits - 1)
	return b < 0x80 && (top == 0 || top == 0x7f>>(bits-1))
}

// count reads the length of a vector: at most limit entries, and no more than
// octets are left, for each entry takes one at least.
func (r *reader) count(what string, limit uint32) uint32 {
	n := r.u32()
	if uint64(n) > uint64(r.left()) {
		r.fail(ErrMalformed, "%d %s announced, %d octets left", n, what, r.left())
		return 0
	}
	if n > limit {
		r.fail(ErrLimit, "%d %s, at most %d are allowed", n, what, limit)
		return 0
	}
	return n
}

// index reads an index and demands that it is below n.
func (r *reader) index(what string, n uint32) uint32 {
	i := r.u32()
	if r.err == nil && i >= n {
		r.fail(ErrMalformed, "%s %d does not exist, there are %d", what, i, n)
		return 0
	}
	return i
}

// name reads a string, which has to be UTF-8.
func (r *reader) name() string {
	b := r.bytes(r.count("octets of a name", maxName))
	if !utf8.Valid(b) {
		r.fail(ErrMalformed, "a name is not UTF-8")
	}
	return string(b)
}
