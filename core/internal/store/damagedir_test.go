// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// Who runs fsck reads what is damaged, and not that fsck would tell.
func TestDamageWithoutTheRemedy(t *testing.T) {
	err := fmt.Errorf("open: %w", explainDamage("/data", fmt.Errorf("%w: octet 48", ErrDamaged)))
	if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "postroad queue fsck --repair") {
		t.Errorf("a start says %v", err)
	}
	if got := Damage(err); strings.Contains(got, "fsck") || !strings.Contains(got, "octet 48") {
		t.Errorf("fsck says %q", got)
	}
	if got := Damage(errors.New("other")); got != "other" {
		t.Errorf("another error is %q", got)
	}
}
