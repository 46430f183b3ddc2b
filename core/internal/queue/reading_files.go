// SPDX-License-Identifier: Apache-2.0

package queue

import "sync"

// files are the bodies that were in the spool before mail was accepted. Those that
// no message needs go once everything was read: they are of messages that never
// got a 250, or that were settled right before the end.
type files struct {
	mu     sync.Mutex
	needed map[string]bool // by id; nil when the reading is over
}

// bodyFiles returns the ids of all bodies in the spool; none is known to be
// needed.
func (q *Queue) bodyFiles() (map[string]bool, error) {
	ids, err := q.store.Spool().List()
	if err != nil {
		return nil, err
	}
	needed := make(map[string]bool, len(ids))
	for _, id := range ids {
		if checkID(id) != nil {
			q.log.Warn("the spool has something that is not a body; it is left alone", "name", id)
			continue
		}
		needed[id] = false
	}
	return needed, nil
}

// take notes that a message needs its file, and reports whether there was one. A
// new message takes it too, before it names its body: its id may be that of a file
// that a crash left behind.
func (f *files) take(id string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, there := f.needed[id]
	if there {
		f.needed[id] = true
	}
	return there
}

// strays returns the ids that nobody has taken.
func (f *files) strays() (ids []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for id, needed := range f.needed {
		if !needed {
			ids = append(ids, id)
		}
	}
	return ids
}

// unless calls remove for a file that nobody has taken, nor can meanwhile.
func (f *files) unless(id string, remove func() error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.needed[id] {
		return nil
	}
	return remove()
}

func (f *files) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.needed = nil
}

// removeStrays removes the files that no message needs.
func (r *reading) removeStrays() error {
	strays := r.files.strays()
	for _, id := range strays {
		if err := r.stopped(); err != nil {
			return err
		}
		if err := r.files.unless(id, func() error { return r.q.store.Spool().Remove(id) }); err != nil {
			r.q.log.Warn("body file of no message not removed; the next start will", "id", id, "error", err)
		}
	}
	r.files.forget()
	if len(strays) > 0 {
		r.q.log.Info("body files of no message removed", "files", len(strays))
	}
	return nil
}
