// SPDX-License-Identifier: Apache-2.0

package wasmhost

import (
	"context"
	"time"

	"github.com/postroad-mail/postroad/sdk/abi"
)

// The services that host functions lean on. A stage uses one as far as its grant
// goes; nil means that this relay has none, and the function answers
// abi.ErrUnsupported. Their methods are called by many goroutines at once, and
// an error that is or wraps an abi.Errno reaches the guest as that number.

// Errors of a Resolver that a guest can tell from each other. Any other is
// abi.ErrIO to it; the error of a ctx that ended counts as ErrTimeout.
const (
	ErrNoRecords = abi.ErrNotFound // the name does not exist, or has no such records
	ErrTimeout   = abi.ErrTimeout  // the servers did not answer in time
)

// Resolver answers questions to the DNS.
type Resolver interface {
	// Lookup returns the records of a type at name, or where its aliases lead.
	Lookup(ctx context.Context, name string, rrtype uint16) (Answer, error)
}

// Answer is what the DNS says: one record at least.
type Answer struct {
	Records       []Record
	Authenticated bool // the servers say that they validated it with DNSSEC
}

// Record is one record of an Answer.
type Record struct {
	TTL        time.Duration // for how long it is still good
	Data       []byte        // an address as text, a name in lower case without its last dot, or the octets of a TXT
	Preference uint16        // of an MX
}

// HTTPClient makes HTTP requests to hosts that are granted.
type HTTPClient interface {
	// Do sends a request and waits for the whole answer. A host outside of
	// Allow is abi.ErrDenied, an answer over MaxBody abi.ErrLimit.
	Do(ctx context.Context, r HTTPRequest) (*HTTPResponse, error)
}

// HTTPQueue is what an HTTPClient also offers that sends requests on its own
// time, for hooks that do not wait for an answer.
type HTTPQueue interface {
	// Check tells, before a hook is committed, what is wrong with a request, or
	// abi.ErrLimit while there is no room for it.
	Check(r HTTPRequest) error
	// Queue takes a request over and returns at once. One for which there is no
	// room any more, or that fails later, is lost, and logged.
	Queue(r HTTPRequest)
}

// HTTPRequest is one request of a guest's, as it wrote it.
type HTTPRequest struct {
	Stage   string
	Method  string // empty means GET
	URL     string
	Header  []string // fields as "Name: value"
	Body    []byte
	Allow   []string // hosts that the operator grants
	Wants   []string // hosts that the manifest asks for; nil means no manifest
	MaxBody int64    // octets that the answer's body may have
}

// HTTPResponse is an answer to an HTTPRequest.
type HTTPResponse struct {
	Status int
	Header map[string][]string // by canonical name
	Body   []byte
}

// Metrics takes the figures of guests.
type Metrics interface {
	// Metric counts, sets or observes, by one of the kinds abi.MetricCounter …,
	// a figure of a stage. Name and labels have their form checked. It reports
	// false when the stage has as many as it may have, or the name is in use
	// as another kind.
	Metric(stage string, kind int, name string, labels [][2]string, value int64) bool
}
