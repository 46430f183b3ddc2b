// SPDX-License-Identifier: Apache-2.0

package metering

import (
	"math"
	"testing"
)

// TestSigned: what is written is read back, in every width.
func TestSigned(t *testing.T) {
	for _, v := range []int64{0, 1, -1, 63, 64, -64, -65, 127, 128, math.MaxInt32, math.MinInt32,
		math.MaxInt32 + 1, 1<<32 - 1, -1 << 32, math.MaxInt64, math.MinInt64} {
		for _, bits := range []int{32, 33, 64} {
			r := &reader{data: appendS64(nil, v)}
			got := r.signed(bits)
			fits := bits == 64 || v >= -1<<(bits-1) && v < 1<<(bits-1)
			if fits != (r.err == nil) || fits && (got != v || r.left() != 0) {
				t.Errorf("%d in %d bits: %d, %v", v, bits, got, r.err)
			}
		}
	}
}

// TestInteger: padded forms are read, forms with too many octets or with unused
// bits are faults (WebAssembly 2.0 §5.2.2).
func TestInteger(t *testing.T) {
	for in, want := range map[string]int64{
		"\x00": 0, "\x80\x00": 0, "\x80\x80\x80\x80\x00": 0, "\xff\xff\xff\xff\x0f": math.MaxUint32,
		"\x80\x80\x80\x80\x10": -1, "\x80\x80\x80\x80\x80\x00": -1, "\x80": -1, "": -1, "\xff\xff\xff\xff\x8f\x00": -1,
	} {
		r := &reader{data: []byte(in)}
		if got := r.u32(); r.err == nil && int64(got) != want || (r.err != nil) != (want < 0) {
			t.Errorf("unsigned % x: %d, %v", in, got, r.err)
		}
	}
	for in, ok := range map[string]bool{
		"\x80\x80\x80\x80\x78": true, "\xff\xff\xff\xff\x07": true, "\xff\xff\xff\xff\x7f": true, "\xff\xff\xff\xff\x0f": false,
		"\x80\x80\x80\x80\x70": false, "\x80\x80\x80\x80\x80\x00": false, "\x40": true, "\xc0\x7f": true,
	} {
		r := &reader{data: []byte(in)}
		if r.signed(32); (r.err == nil) != ok {
			t.Errorf("signed % x: %v", in, r.err)
		}
	}
}

// TestUnsigned: what is written is read back.
func TestUnsigned(t *testing.T) {
	for _, v := range []uint32{0, 1, 127, 128, 16383, 16384, math.MaxUint32} {
		r := &reader{data: appendU32(nil, v)}
		if got := r.u32(); got != v || r.err != nil || r.left() != 0 {
			t.Errorf("%d: %d, %v", v, got, r.err)
		}
	}
}

// TestSticky: after the first fault nothing is read and the first place stays.
func TestSticky(t *testing.T) {
	r := &reader{data: []byte{1, 2, 3}, base: 10}
	r.byte()
	r.bytes(9)
	if r.more() || r.byte() != 0 || r.u32() != 0 || r.bytes(1) != nil || r.err.Offset != 11 {
		t.Errorf("reads on after %v", r.err)
	}
	if s := r.sub(0); s.err != r.err {
		t.Error("a part forgets the fault")
	}
}

// TestState: budgets add up and causes are told apart.
func TestState(t *testing.T) {
	for _, fuel := range []int64{-5, 0, 1, SliceUnits - 1, SliceUnits, SliceUnits + 1, math.MaxInt64} {
		if s := NewState(fuel, 3); s.Left() != max(fuel, 0) || s.Slice > SliceUnits || s.Depth != 3 {
			t.Errorf("%d: %+v", fuel, s)
		}
	}
	for s, want := range map[State]Cause{
		{Slice: 1, Total: 1}:           CauseGuest,
		{Slice: -1, Total: 1}:          CauseGuest,
		{Slice: 0, Total: 0}:           CauseGuest,
		{Slice: -1}:                    CauseFuel,
		{Slice: -1, Kill: 1}:           CauseKill,
		{Slice: 5, Kill: 1, Depth: -1}: CauseDepth,
	} {
		if got := s.Cause(); got != want {
			t.Errorf("%+v: %d, want %d", s, got, want)
		}
	}
}
