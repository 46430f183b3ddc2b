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
// message's id.
func TestAFaultThatWasLoggedIsNotLoggedAgain(t *testing.T) {
	for cause, want := range map[error]hclog.Level{
		errors.New("disk full"): hclog.Warn,
		fmt.Errorf("x: %w", toldError{errors.New("stage failed")}): hclog.Debug,
	} {
		if got := blame(mail.OurFault(cause)).level(); got != want {
			t.Errorf("%v: level %v, want %v", cause, got, want)
		}
	}
}
