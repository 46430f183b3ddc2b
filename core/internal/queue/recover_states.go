// SPDX-License-Identifier: Apache-2.0

package queue

import "github.com/postroad-mail/postroad/core/internal/store"

// stateStream hands out the states of all recipients in the order of their
// messages' ids. They are read and decoded beside the envelopes, for a large queue
// starts sooner where a second core is free.
type stateStream struct {
	batches chan []foundState
	batch   []foundState // what is left of the one in hand
	err     error        // of the reading; valid once first has returned nil
}

// foundState is one state record, or why it cannot be read. A key that is none
// has no id.
type foundState struct {
	id    string
	rcpt  int
	state State
	key   string // only with err
	err   error
}

const stateBatch = 512

// readStates begins to read. The caller takes all of them, else its goroutine
// does not end.
func readStates(s *store.Store) *stateStream {
	st := &stateStream{batches: make(chan []foundState, 4)}
	go func() {
		defer close(st.batches)
		st.err = st.read(s)
	}()
	return st
}

func (s *stateStream) read(st *store.Store) error {
	from, to := bounds(kindState)
	batch := make([]foundState, 0, stateBatch)
	err := st.Scan(from, to, func(key, v []byte) bool {
		batch = append(batch, found(key, v))
		if len(batch) == stateBatch {
			s.batches <- batch
			batch = make([]foundState, 0, stateBatch)
		}
		return true
	})
	if len(batch) > 0 {
		s.batches <- batch
	}
	return err
}

func found(key, v []byte) (f foundState) {
	if f.id, f.rcpt, f.err = splitKey(key); f.err == nil {
		f.state, f.err = readState(f.rcpt, v)
	} else {
		f.id = ""
	}
	if f.err != nil {
		f.key = string(key)
	}
	return f
}

// first returns the state that is next; nil at the end.
func (s *stateStream) first() *foundState {
	if len(s.batch) == 0 {
		s.batch = <-s.batches
	}
	if len(s.batch) == 0 {
		return nil
	}
	return &s.batch[0]
}

// next goes behind it.
func (s *stateStream) next() { s.batch = s.batch[1:] }
