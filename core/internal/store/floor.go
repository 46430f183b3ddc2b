// SPDX-License-Identifier: Apache-2.0

package store

import (
	"path/filepath"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/go-hclog"

	"github.com/postroad-mail/postroad/core/mail"
)

// Two questions for each message would cost as much as two writes. So an answer
// is trusted for a moment, as long as what is left of it is plenty above the
// floor: more than a disk writes in that time.
const (
	trusted = 50 * time.Millisecond
	plenty  = 1 << 30 // octets
)

// floor keeps mail out before the disk is full, and holds the ballast: a file
// whose space is given back to Pebble when something else has filled the disk.
// Without the ballast, mail is refused until there is room for a new one.
type floor struct {
	fs      vfs.FS // without the fault layer
	dir     string
	min     int64 // octets; not positive: no floor
	ballast int64 // octets of the ballast; not positive: none
	log     hclog.Logger
	now     func() time.Time

	mu     sync.Mutex
	there  bool // the ballast is
	low    bool // mail was refused last time
	closed bool
	asked  time.Time // when the filesystem was
	left   int64     // octets that it had free then, without those let in since
}

func newFloor(fs vfs.FS, dir string, min, ballast int64, log hclog.Logger) *floor {
	f := &floor{fs: fs, dir: dir, min: min, ballast: ballast, log: log, now: time.Now}
	if _, known := f.free(); !known {
		f.min, f.ballast = 0, 0
	}
	f.there = f.ballast <= 0 || f.size() == f.ballast
	f.restore()
	return f
}

func (f *floor) path() string { return filepath.Join(f.dir, "ballast") }

// free returns the octets that an unprivileged process can still use.
func (f *floor) free() (int64, bool) {
	u, err := f.fs.GetDiskUsage(f.dir)
	return int64(u.AvailBytes), err == nil
}

// room returns a 452 4.3.1 reply when n more octets would reach below the floor.
func (f *floor) room(n int64) error {
	if f.min <= 0 {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ample(n) {
		return nil
	}
	free, known := f.free()
	if known && !f.there && free-n >= f.min+f.ballast {
		f.restore()
	}
	low := known && (free < f.min || !f.there)
	f.note(low, free)
	f.asked, f.left = f.now(), free-n
	if low || known && free-n < f.min {
		return mail.NewReply(452, mail.Enhanced{4, 3, 1}, "insufficient system storage, try again later")
	}
	return nil
}

// ample reports whether the last answer of the filesystem is enough to let n more
// octets in.
func (f *floor) ample(n int64) bool {
	if !f.there || f.low || f.left-n < f.min+plenty || f.now().Sub(f.asked) >= trusted {
		return false
	}
	f.left -= n
	return true
}

// note logs when the floor is reached and left.
func (f *floor) note(low bool, free int64) {
	switch {
	case low && !f.low:
		f.log.Error("disk nearly full: mail is refused with 452 until space is free", "dir", f.dir, "free", free, "floor", f.min)
	case !low && f.low:
		f.log.Info("disk has room again: mail is accepted", "dir", f.dir, "free", free)
	}
	f.low = low
}

// dropBallast removes the ballast, once; it reports whether space came free.
func (f *floor) dropBallast() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ballast <= 0 || !f.there || f.closed {
		return false
	}
	f.there = false
	if err := f.fs.Remove(f.path()); err != nil {
		return false
	}
	f.log.Error("disk full: the ballast was given up to keep the queue alive", "dir", f.dir, "octets", f.ballast)
	return true
}

// restore writes the ballast when it is missing and there is room for it.
func (f *floor) restore() {
	free, _ := f.free()
	if f.there || f.closed || free < f.min+f.ballast {
		return
	}
	if err := f.fill(); err != nil {
		_ = f.fs.Remove(f.path())
		return
	}
	f.there = true
}

func (f *floor) fill() error {
	file, err := f.fs.Create(f.path(), vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	chunk := make([]byte, 1<<20)
	for n := int64(0); n < f.ballast && err == nil; n += int64(len(chunk)) {
		_, err = file.Write(chunk[:min(int64(len(chunk)), f.ballast-n)])
	}
	if cerr := file.Close(); err == nil {
		err = cerr
	}
	return err
}

func (f *floor) size() int64 {
	info, err := f.fs.Stat(f.path())
	if err != nil {
		return -1
	}
	return info.Size()
}

// close ends changes of the ballast: the lock is about to be given back.
func (f *floor) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
}
