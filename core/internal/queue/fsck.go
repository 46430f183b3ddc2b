// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/postroad-mail/postroad/core/internal/store"
)

// Fsck is what CheckDir found, and what RepairDir did.
type Fsck struct {
	DataDir    string
	Messages   int      // that can be delivered, or are held
	Recipients int      // of them
	BodyFiles  int      // that they have
	Problems   []string // a sentence each
	Notes      []string // what is not as expected and harms nobody
	Aside      string   // the folder that a repair has moved things to; empty: there was nothing
}

// CheckDir reads all of a data directory that no relay uses, and changes
// nothing. Its error says that it cannot be done; what is wrong with the data is
// in Fsck.
func CheckDir(o store.Options) (*Fsck, error) {
	f := &Fsck{DataDir: o.Dir}
	s, err := store.Inspect(o)
	if errors.Is(err, store.ErrDamaged) {
		f.Problems = append(f.Problems, store.Damage(err))
		return f, nil
	}
	if err != nil {
		return nil, err
	}
	c, err := Check(s)
	if err = errors.Join(err, s.Close()); err != nil {
		return nil, err
	}
	f.take(c)
	return f, nil
}

// RestoreDir puts a copy of a backup into a data directory without a queue, and
// tells what is in it. A backup with problems, or of a newer program, is refused
// and nothing stays of it. earlier is true when a restore that was interrupted
// had copied everything: then it comes to its end.
func RestoreDir(ctx context.Context, o store.Options, backup string) (f *Fsck, earlier bool, err error) {
	check := func(dir string) error {
		copied := o
		copied.Dir = dir
		if f, err = CheckDir(copied); err != nil {
			return err
		}
		if n := len(f.Problems); n > 0 {
			return fmt.Errorf("the backup is damaged (problem 1 of %d: %s); choose another, or copy its db and spool by hand and run postroad queue fsck --repair", n, f.Problems[0])
		}
		return nil
	}
	if earlier, err = store.Restore(ctx, o, backup, check); err == nil && earlier {
		err = check(o.Dir)
	}
	if f != nil {
		f.DataDir = o.Dir
	}
	return f, earlier, err
}

func (f *Fsck) take(c *Checked) {
	f.Messages, f.Recipients, f.BodyFiles = c.Messages, c.Recipients, c.Files
	if c.Unreadable != nil {
		f.Problems = append(f.Problems, "a part of the database cannot be read: "+c.Unreadable.Error())
	}
	for i := range c.Findings {
		if w := &c.Findings[i]; w.Harmless {
			f.Notes = append(f.Notes, w.String())
		} else {
			f.Problems = append(f.Problems, w.String())
		}
	}
}

// RepairDir moves what CheckDir finds out of the way, below damaged/ in a folder
// that is named after now, so that Open reads what is left. It deletes nothing.
// When the database itself is damaged, it is built anew from what its files
// still hold (store.Rebuild).
func RepairDir(o store.Options, now time.Time) (*Fsck, error) {
	r := &dirRepair{o: o, now: now, name: now.UTC().Format("20060102T150405Z"), f: &Fsck{DataDir: o.Dir}}
	sound, err := r.readable()
	if err == nil && !sound {
		err = r.rebuild()
	}
	if err == nil {
		err = r.sort()
	}
	return r.f, err
}

// dirRepair is one run of RepairDir.
type dirRepair struct {
	o    store.Options
	now  time.Time
	name string
	f    *Fsck
}

// readable reports whether every record can be read, else the database is to be
// built anew. It fails where there is nothing to repair: what a newer program
// has written is not damaged.
func (r *dirRepair) readable() (bool, error) {
	s, err := store.Inspect(r.o)
	if errors.Is(err, store.ErrDamaged) || store.Interrupted(err) {
		r.f.Problems = append(r.f.Problems, store.Damage(err))
		return false, nil
	}
	if err != nil {
		return false, err
	}
	c, err := Check(s)
	if err = errors.Join(err, s.Close()); err != nil {
		return false, err
	}
	if c.Unreadable != nil {
		r.f.Problems = append(r.f.Problems, "a part of the database cannot be read: "+c.Unreadable.Error())
	}
	return c.Unreadable == nil, nil
}

func (r *dirRepair) rebuild() error {
	b, err := store.Rebuild(r.o, r.name)
	if err != nil {
		return err
	}
	for _, lost := range b.Lost {
		r.f.Problems = append(r.f.Problems, "not readable: "+lost)
	}
	return nil
}

// sort moves single records and files aside.
func (r *dirRepair) sort() (err error) {
	s, err := store.Open(r.o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	c, err := Check(s)
	if err != nil {
		return err
	}
	r.f.take(c)
	a := s.NewAside(r.name)
	if err := errors.Join(Repair(s, c, a, r.now), a.Close()); err != nil {
		return err
	}
	r.f.Aside = a.Path()
	return r.recheck(s)
}

// recheck makes sure that what is left is good.
func (r *dirRepair) recheck(s *store.Store) error {
	c, err := Check(s)
	if err != nil {
		return err
	}
	r.f.Messages, r.f.Recipients, r.f.BodyFiles = c.Messages, c.Recipients, c.Files
	if !c.Clean() {
		return fmt.Errorf("queue: data directory %s is not clean after its repair: repair the disk, and try again", r.o.Dir)
	}
	return nil
}
