// SPDX-License-Identifier: Apache-2.0

package metering

// Version changes whenever the same module would be rewritten differently. It
// belongs into the key of every cache of rewritten or compiled modules.
const Version = "3"

// The names under which the rewritten module exports its counters. A module
// that exports a name with the prefix Reserved itself is refused.
const (
	Reserved  = "postroad.meter."
	NameSlice = Reserved + "slice" // i64: units left before the next look at total
	NameTotal = Reserved + "total" // i64: units left beyond slice
	NameKill  = Reserved + "kill"  // i32: not zero stops the call within a slice
	NameDepth = Reserved + "depth" // i32: weight of frames left
)

// SliceUnits is the most that a guest burns between two returns to Go.
const SliceUnits = 1_000_000

// Defaults of Options.
const (
	DefaultStartFuel     = 200_000_000
	DefaultStartDepth    = 4096
	DefaultTableElements = 100_000
)

// Options of Rewrite. The zero value takes the defaults. Different options give
// different modules: keep them in the key of caches.
type Options struct {
	StartFuel     int64  // units for the start section
	StartDepth    int32  // weight of frames for the start section
	TableElements uint32 // most elements of all tables together, grown or not
}

func (o Options) withDefaults() Options {
	if o.StartFuel <= 0 {
		o.StartFuel = DefaultStartFuel
	}
	if o.StartDepth <= 0 {
		o.StartDepth = DefaultStartDepth
	}
	if o.TableElements == 0 {
		o.TableElements = DefaultTableElements
	}
	return o
}

// Rewrite returns the metered form of a module in the binary format. The input
// is not changed and not kept. The result is the same for the same input,
// Options and Version. Custom sections are dropped, but for a well-formed
// "name": offsets in debug sections would point to the wrong places. Every
// error is an *Error.
func Rewrite(wasm []byte, options Options) ([]byte, error) {
	m, err := parse(wasm)
	if err != nil {
		return nil, err
	}
	return assemble(m, options.withDefaults())
}

// Strip returns the module as it was, without the custom sections that Rewrite
// drops, after the checks that Rewrite makes outside of function bodies, and of
// all limits. It is the form to hand to an engine for validation: sizes and counts
// are sane, so that a decoder that trusts them allocates no more than the module
// is worth. Every error is an *Error.
func Strip(wasm []byte) ([]byte, error) {
	m, err := parse(wasm)
	if err != nil {
		return nil, err
	}
	if err := m.surveyed(); err != nil {
		return nil, err
	}
	return m.encode(), nil
}
