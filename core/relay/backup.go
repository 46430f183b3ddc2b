// SPDX-License-Identifier: Apache-2.0

package relay

import "context"

// Backup copies queue and key-value stores to the folder dir, which must not
// exist, while the relay runs. All mail that was acknowledged before the call is
// in the copy. It returns when the copy is durable. The copy is a data
// directory: a relay that is started on it delivers what was queued then.
func (r *Relay) Backup(ctx context.Context, dir string) error {
	e, err := r.live()
	if err != nil {
		return err
	}
	r.log.Info("backup begins", "dir", dir)
	if err := e.queue.Backup(ctx, dir); err != nil {
		r.log.Error("backup failed", "dir", dir, "error", err)
		return err
	}
	r.log.Info("backup is complete", "dir", dir)
	return nil
}

// Backup implements control.Service.
func (o operator) Backup(ctx context.Context, dir string) error { return o.r.Backup(ctx, dir) }

// Backup is Relay.Backup for a relay that does not run.
func (q *StoppedQueue) Backup(ctx context.Context, dir string) error { return q.r.Backup(ctx, dir) }
