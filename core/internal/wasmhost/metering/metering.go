// SPDX-License-Identifier: Apache-2.0

// Package metering rewrites a WebAssembly module, before it is compiled, so
// that it can be run for a stranger: every instruction is paid for from a
// budget, the call depth is limited, a running call can be killed from another
// goroutine, and a long call gives way to Go's scheduler and garbage collector.
//
// # What is added
//
// The rewritten module has four more globals, exported under reserved names
// (NameSlice, NameTotal, NameKill, NameDepth), one more function, the helper,
// and counting code in front of the guest's own. Things are only ever appended,
// so that no index the guest uses changes its meaning, and no import is added.
//
//   - slice (i64) is counted down at the start of every straight-line block by
//     the exact cost of the block. At function entries, at loop headers and at
//     bulk operations it is tested: below zero, the helper is called.
//   - The helper refills slice from total (i64), at most SliceUnits at a time,
//     and leaves the native code once (by growing the memory by zero pages), so
//     that Go can stop the world. It traps when total is empty or kill (i32) is
//     not zero.
//   - depth (i32) is counted down at the entry of every function that calls
//     others, by the weight of its frame, and up again when the function
//     returns. Below zero, the function traps.
//
// # What the host does
//
// Before each call the host sets the four globals from NewState, after it reads
// them back and asks State.Cause why a call trapped. What the module does while
// it is instantiated (its start section) is paid from Options.StartFuel, for
// nobody can set a global before that. Setting kill is allowed at any time, from
// any goroutine; nobody but the host writes it.
//
// # How exact it is
//
// A guest burns no more than its budget, its last straight-line block (a function
// body at most) and, by charge only, the one bulk operation that it could not pay
// for and that did not run. The same guest with the same input burns the same on
// any machine. Fuel is not time: memory that misses the cache costs nothing extra,
// so that a deadline, by kill, belongs to every call.
//
// # What is refused
//
// A module is refused, with an *Error, rather than guessed at: unknown
// instructions and sections, shared memories, 64-bit memories, more than one
// memory, tail calls, exceptions, garbage-collected types, trailing bytes,
// counts beyond the limits of limits.go. Every index is checked against the
// counts of the original, so that a module cannot reach what is appended; types
// are not checked here. The host validates the original with its engine first;
// Strip gives it the form in which that is safe to do.
package metering

// Version changes whenever the same module would be rewritten differently. It
// belongs into the key of every cache of rewritten or compiled modules.
const Version = "2"

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
// drops, after the checks that Rewrite makes outside of function bodies. It is
// the form to hand to an engine for validation: sizes and counts are sane, so
// that a decoder that trusts them allocates no more than the module is worth.
// Every error is an *Error.
func Strip(wasm []byte) ([]byte, error) {
	m, err := parse(wasm)
	if err != nil {
		return nil, err
	}
	return m.encode(), nil
}
