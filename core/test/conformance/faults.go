// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"errors"

	"github.com/postroad-mail/postroad/core/internal/wasmhost"
	"github.com/postroad-mail/postroad/core/mail"
)

// faults are the seeded faults of this host, beside those that sdk/kit seeds
// between host and guest. Each is looked at where it strikes.
func faults() []string {
	return []string{
		"a grant is not looked at",
		"a forbidden verdict is taken",
		"a trap is taken for continue",
		"what a hook did is dropped",
		"a verdict is lost",
		"the clock counts seconds",
		"any host may be asked",
		"a request is sent before the commit",
		"a counter is set",
		"a counter starts anew",
		"a key is not deleted",
		"a bucket has no bottom",
		"a name that does not exist has an empty answer",
		"the offset of a chunk is wrong",
		"a phase is about another recipient",
	}
}

// amiss is 1 on a host with that fault.
func (h *host) amiss(fault string) int64 {
	if h.fault == fault {
		return 1
	}
	return 0
}

// seed makes the outcome of a hook that of a host with the seeded fault.
func (r *room) seed(v mail.Verdict, err error) (mail.Verdict, error) {
	var f *wasmhost.Fault
	failed := errors.As(err, &f)
	switch {
	case failed && f.Cause == wasmhost.CauseVerdict && r.host.fault == "a forbidden verdict is taken",
		failed && f.Cause == wasmhost.CauseTrap && r.host.fault == "a trap is taken for continue":
		return mail.Continue, nil
	case err == nil && r.host.fault == "what a hook did is dropped":
		return v, errors.New("dropped")
	case err == nil && r.host.fault == "a verdict is lost":
		return mail.Continue, nil
	}
	return v, err
}
