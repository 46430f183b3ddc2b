// SPDX-License-Identifier: Apache-2.0

package metering

import (
	"errors"
	"fmt"
)

// The kinds of refusal, for errors.Is.
var (
	// ErrMalformed: the bytes are no valid WebAssembly module.
	ErrMalformed = errors.New("malformed WebAssembly module")
	// ErrUnsupported: a feature that plugins may not use. The remedy is a flag of
	// the guest's compiler.
	ErrUnsupported = errors.New("unsupported WebAssembly feature")
	// ErrLimit: a count or size beyond what the host takes.
	ErrLimit = errors.New("WebAssembly module is over a limit")
)

// Error is a refused module.
type Error struct {
	Kind   error  // ErrMalformed, ErrUnsupported or ErrLimit
	Offset int    // octets from the start of the module
	Detail string // what is wrong, for people
}

// Error names the kind, the detail and the place.
func (e *Error) Error() string {
	return fmt.Sprintf("%v: %s (at offset 0x%x)", e.Kind, e.Detail, e.Offset)
}

// Unwrap returns the kind.
func (e *Error) Unwrap() error { return e.Kind }
