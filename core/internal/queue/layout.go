// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/postroad-mail/postroad/core/internal/store"
)

// ErrNewer is in the chain of Open's error when a newer program has written
// records into the queue: this one would take them for damaged.
var ErrNewer = errors.New("written by a newer postroad")

// layoutKey has the greatest versions of records that the queue may hold: of
// envelopes, states, holds and suspensions. It is in the log before any such
// record.
func layoutKey() []byte { return []byte("qv") }

func layout() []byte { return []byte{envelopeVersion, stateVersion, holdVersion, suspensionVersion} }

// checkLayout refuses a queue with records of newer versions. It returns what
// the queue has; nil when it has no mark.
func checkLayout(s *store.Store) (have []byte, err error) {
	_, err = s.Get(layoutKey(), func(v []byte) error { have = append(have, v...); return nil })
	if err != nil {
		return nil, err
	}
	for i, known := range layout() {
		if i < len(have) && have[i] > known {
			return nil, fmt.Errorf("the queue was %w: its records are of version %v, this program knows %v; start that version, or choose another data_dir", ErrNewer, have, layout())
		}
	}
	return have, nil
}

// markLayout makes the mark what this program writes.
func markLayout(s *store.Store) error {
	have, err := checkLayout(s)
	if err != nil || bytes.Equal(have, layout()) {
		return err
	}
	b := s.NewBatch()
	defer b.Close()
	if err := b.Set(layoutKey(), layout(), nil); err != nil {
		return err
	}
	return s.Commit(b, false)
}
