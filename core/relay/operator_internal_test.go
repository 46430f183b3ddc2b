// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/postroad-mail/postroad/core/internal/queue"
)

func TestOnThoseLeavesOutWhatIsGone(t *testing.T) {
	for _, gone := range [][]string{nil, {"a"}, {"e"}, {"b", "c"}, {"a", "b", "c", "d", "e"}} {
		var done []string
		n, err := onThose([]string{"a", "b", "c", "d", "e"}, func(ids ...string) error {
			for _, id := range ids {
				if slices.Contains(gone, id) {
					return fmt.Errorf("queue: test: %w", queue.ErrNotFound)
				}
			}
			done = append(done, ids...)
			return nil
		})
		if err != nil || n != 5-len(gone) || len(done) != n {
			t.Errorf("without %v: %d done, %v, %v", gone, n, done, err)
		}
	}
	broken := errors.New("disk")
	if n, err := onThose([]string{"a", "b"}, func(...string) error { return broken }); n != 0 || !errors.Is(err, broken) {
		t.Errorf("a fault gave %d, %v", n, err)
	}
	if n, err := onThose(nil, func(...string) error { return broken }); n != 0 || err != nil {
		t.Errorf("an empty queue gave %d, %v", n, err)
	}
}
