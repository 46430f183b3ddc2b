// SPDX-License-Identifier: Apache-2.0

package smtpin

import (
	"errors"
	"fmt"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/postroad-mail/postroad/core/mail"
)

type toldError struct{ error }

func (toldError) Told() bool { return true }

// A stage that failed gave three lines of log, the last of them without the
// message's id, and was two refusals in postroad_refused_total.
func TestAFaultThatWasToldOfIsNotToldAgain(t *testing.T) {
	for _, c := range []struct {
		cause  error
		level  hclog.Level
		reason string
	}{
		{errors.New("disk full"), hclog.Warn, ReasonFault},
		{fmt.Errorf("x: %w", toldError{errors.New("stage failed")}), hclog.Debug, ReasonBackend},
	} {
		if got := blame(mail.OurFault(c.cause)); got.level() != c.level || got.reason != c.reason {
			t.Errorf("%v: level %v, reason %q", c.cause, got.level(), got.reason)
		}
	}
}
