// SPDX-License-Identifier: Apache-2.0

package config

import (
	"slices"
	"time"
)

// ListenerExtensions are the choices about extensions of SMTP. A reload that
// changes them gives the listener a new server; open sessions keep what they were
// offered.
type ListenerExtensions struct {
	Withhold  []string      // keywords that EHLO does not list, and that are refused
	Hold      time.Duration // longest time until release (RFC 4865), in whole seconds
	DeliverBy time.Duration // least time of BY in mode R (RFC 2852), in whole seconds; 0: any
}

// Equal reports whether e and f say the same.
func (e *ListenerExtensions) Equal(f *ListenerExtensions) bool {
	return slices.Equal(e.Withhold, f.Withhold) && e.Hold == f.Hold && e.DeliverBy == f.DeliverBy
}

func extensionsSpec() *blockSpec {
	keywords := enumKind("PIPELINING", "8BITMIME", "SMTPUTF8", "CHUNKING", "BINARYMIME", "ENHANCEDSTATUSCODES", "DSN",
		"LIMITS", "FUTURERELEASE", "DELIVERBY", "MT-PRIORITY", "RRVS", "REQUIRETLS", "STARTTLS", "SIZE")
	return &blockSpec{
		name: "extensions", count: always,
		doc: "Extensions of SMTP. All are offered: DSN, FUTURERELEASE, DELIVERBY and MT-PRIORITY to clients that may send to any domain, REQUIRETLS above TLS, BINARYMIME with CHUNKING. A reload changes them for new sessions.",
		args: []argSpec{
			{"withhold", listKind[string](keywords, "list of keywords"), `[]`, false, "Extensions that EHLO does not list; their parameters and commands are then refused."},
			{"max_hold", durationKind(time.Second), `"30d"`, false, "The longest time that a client may have a message held for before it is sent (FUTURERELEASE)."},
			{"min_deliver_by", durationKind(0), `"0s"`, false, "The least time in which a client may demand delivery or the message back (DELIVERBY, mode R); less is refused."},
		},
	}
}

func buildExtensions(n *node) ListenerExtensions {
	return ListenerExtensions{
		Withhold: arg[[]string](n, "withhold"), Hold: arg[time.Duration](n, "max_hold").Truncate(time.Second),
		DeliverBy: arg[time.Duration](n, "min_deliver_by").Truncate(time.Second),
	}
}
