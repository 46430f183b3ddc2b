// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"context"
	"fmt"
)

// Backup copies the queue and all else that is in the store to dir, while mail
// comes and goes (store.Backup). Whatever was acknowledged before the call is in
// the copy, with its body; body files that go meanwhile are removed after it.
// It returns when the copy is durable; after an error there is none.
func (q *Queue) Backup(ctx context.Context, dir string) error {
	q.tail.keepFiles(+1)
	defer q.tail.keepFiles(-1)
	if err := q.store.Backup(ctx, dir); err != nil {
		return fmt.Errorf("queue: %w", err)
	}
	return nil
}
