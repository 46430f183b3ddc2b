// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestShowWhileMessagesAreSettled: between the commit of a settle and its step
// in memory, a message that goes is not taken for a damaged one.
func TestShowWhileMessagesAreSettled(t *testing.T) {
	r := newRig(t, vfs.NewMem())
	var ids []string
	for n := range 500 {
		id := ident(fmt.Sprint("show", n))
		r.enqueue(message(id, small, "x@one.example"))
		ids = append(ids, id)
	}
	r.reopen() // nothing is in memory any more
	r.due()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for _, id := range ids {
				var err error
				for err == nil {
					_, err = r.show(id)
				}
				if !errors.Is(err, ErrNotFound) {
					t.Error(err)
				}
			}
		})
	}
	for _, id := range ids {
		r.settle(delivered(id, 0))
	}
	wg.Wait()
}
