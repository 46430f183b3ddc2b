// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/postroad-mail/postroad/core/internal/queue"
	"github.com/postroad-mail/postroad/core/internal/store"
)

// Fsck is what CheckQueue found, and what RepairQueue did.
type Fsck struct {
	DataDir    string
	Messages   int      // that can be delivered, or are held
	Recipients int      // of them
	BodyFiles  int      // that they have
	Problems   []string // a sentence each
	Notes      []string // what is not as expected and harms nobody
	Aside      string   // the folder that a repair has moved things to; empty: there was nothing
}

// CheckQueue reads all of the data directory of a relay that does not run, and
// changes nothing. Its error says that it cannot be done, for example
// ErrUnavailable because a relay runs; what is wrong with the data is in Fsck.
func CheckQueue(o Options) (*Fsck, error) { return fsck(o, queue.CheckDir) }

// RepairQueue moves what CheckQueue finds out of the way, below data_dir/damaged
// in a folder that is named after now, so that a relay starts on what is left.
// It deletes nothing. When the database itself is damaged, it is built anew from
// what its files still hold; a message that was delivered may come back then.
func RepairQueue(o Options, now time.Time) (*Fsck, error) {
	return fsck(o, func(so store.Options) (*queue.Fsck, error) { return queue.RepairDir(so, now) })
}

// RestoreQueue puts a backup into the data directory of a relay that does not
// run, and returns what is in it when that is durable. The data directory must
// have no queue. It refuses what Backup has not made, what is damaged and what a
// newer program has written. Until it has come to its end, no relay starts on the
// data directory; one that was interrupted is begun again. earlier is true when
// that one had done all but the last step: then nothing is copied.
func RestoreQueue(ctx context.Context, o Options, backup string) (f *Fsck, earlier bool, err error) {
	dir, err := DataDir(o)
	if err != nil {
		return nil, false, err
	}
	found, earlier, err := queue.RestoreDir(ctx, store.Options{Dir: dir}, backup)
	if err != nil {
		return nil, false, diskKind(err)
	}
	return (*Fsck)(found), earlier, nil
}

func fsck(o Options, run func(store.Options) (*queue.Fsck, error)) (*Fsck, error) {
	dir, err := DataDir(o)
	if err != nil {
		return nil, err
	}
	f, err := run(store.Options{Dir: dir})
	if errors.Is(err, os.ErrNotExist) {
		return nil, &kinded{ErrUnavailable, err}
	}
	if err != nil {
		return nil, diskKind(err)
	}
	return (*Fsck)(f), nil
}
