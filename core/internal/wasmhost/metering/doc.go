// SPDX-License-Identifier: Apache-2.0

// Package metering rewrites a WebAssembly module, before it is compiled, so
// that it can be run for a stranger: every instruction is paid for from a
// budget, the call depth is limited, a running call can be killed from another
// goroutine, and a long call gives way to Go's scheduler and garbage collector.
// It needs nothing but the standard library, and works with any engine for
// WebAssembly 2.0 whose host can read and set exported globals; it is written
// for, and tested with, both engines of wazero.
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
//   - A loop that calls nothing is put into blocks of its own, so that the helper
//     is called outside of it and the loop is entered again (see wrap.go): a call
//     inside, though never made, would cost it its registers.
//   - depth (i32) is counted down at the entry of every function that calls
//     others, by the weight of its frame, and up again when the function
//     returns. Below zero, the function traps.
//
// # What the host does
//
// It validates the original with its engine (Strip gives the form in which that
// is safe), rewrites it and compiles the result. Before each call it sets the four
// globals from NewState; after it, it reads them back, and asks State.Cause why a
// call trapped. An instance whose call trapped is used up: it stopped anywhere.
// What the module does while it is instantiated (its start section) is paid from
// Options.StartFuel, for nobody can set a global before that. Setting kill is
// allowed at any time, from any goroutine; nobody but the host writes it.
//
// # How exact it is
//
// A guest burns no more than its budget, what stands between two tests (an
// iteration of a loop, or a function body, at most) and, by charge only, the one
// bulk operation that it could not pay for and that did not run. The same guest
// with the same input burns the same on any machine, however its budget is cut
// into slices.
//
// Once kill is set, a guest burns what is left of its slice, one slice more if the
// helper had looked at kill already, and what stands between two tests: two
// million units and that. A garbage collection waits for the end of a slice: one
// million units, which ordinary code burns in a fraction of a millisecond.
//
// Fuel is not time: memory that misses the cache costs nothing extra, so that a
// deadline, by kill, belongs to every call. Bulk operations are paid by their
// length before they run: a unit for 16 octets of memory or for one element of a
// table, 4,096 for a page that memory grows by.
//
// # What is refused
//
// A module is refused, with an *Error that names the place, rather than guessed
// at: unknown instructions and sections, shared memories, 64-bit memories, more
// than one memory, tail calls, exceptions, garbage-collected types, relaxed SIMD,
// trailing bytes, counts beyond the limits of limits.go. Every index is checked
// against the counts of the original, so that a module cannot reach what is
// appended; types are not checked here, but by the engine, before and after.
package metering
