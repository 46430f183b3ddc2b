// SPDX-License-Identifier: Apache-2.0

package store

import (
	"encoding/binary"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/batchrepr"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Open looks at the log and the manifest before Pebble does, which would cut
// them at a damaged octet and go on (chunks.go).
//
// The end of a log may be torn: a crash leaves what was written and not synced
// in any state, and a later piece may be there without an earlier one. So every
// batch says in the log how far it was synced when the batch was made. When that
// goes beyond the gap, the gap is damage and not a crash. The same is true of a
// log with the mark of an orderly end. Damage in the very last batch that was
// synced cannot be told from a crash.
//
// Each record of a manifest is synced before the next one is written: there any
// record behind a gap proves damage.

const claimName = "synced"

// claim is what a batch says: the writes before number end are synced.
func claim(end uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte(claimName), end)
}

func readClaim(p []byte) (end uint64, ok bool) {
	digits, ok := strings.CutPrefix(string(p), claimName)
	if !ok || len(digits) != 8 {
		return 0, false
	}
	return binary.BigEndian.Uint64([]byte(digits)), true
}

// verify returns a damage when log or manifest are cut before their end.
func (s *Store) verify() error {
	names, err := s.fs.List(s.path("db"))
	if err != nil {
		return err
	}
	if err := s.verifyManifest(currentManifest(names)); err != nil {
		return err
	}
	slices.Sort(names) // logs by number
	next := uint64(0)
	for _, name := range names {
		if filepath.Ext(name) != ".log" {
			continue
		}
		if next, err = s.verifyLog(name, next); err != nil {
			return err
		}
	}
	return nil
}

// verifyLog takes and returns the number behind the last write before a gap; 0
// is unknown.
func (s *Store) verifyLog(name string, next uint64) (uint64, error) {
	l, err := readLog(s.fs, s.path("db"), name)
	if err != nil || l == nil {
		return next, err
	}
	claimed := uint64(0)
	for rec, ok := l.next(); ok; rec, ok = l.next() {
		h, ok := batchrepr.ReadHeader(rec)
		switch {
		case !ok:
		case l.gap < 0:
			next = max(next, uint64(h.SeqNum)+uint64(h.Count))
		case next == 0: // whatever is missing came before this one
			next = uint64(h.SeqNum) - 1
			claimed = claimOf(rec)
		default:
			claimed = max(claimed, claimOf(rec))
		}
	}
	if l.gap >= 0 && (claimed > next || l.ended) {
		return next, &damage{fmt.Errorf("%s has a damaged place at octet %d", name, l.gap)}
	}
	return next, nil
}

// claimOf is the claim of a batch, 0 without one.
func claimOf(batch []byte) uint64 {
	for r := batchrepr.Read(batch); ; {
		kind, data, _, ok, err := r.Next()
		if !ok || err != nil {
			return 0
		}
		if kind != pebble.InternalKeyKindLogData {
			continue
		}
		if end, ok := readClaim(data); ok {
			return end
		}
	}
}

// readLog opens a log for reading; nil for a name that is none.
func readLog(fs vfs.FS, dir, name string) (*chunks, error) {
	number, err := strconv.ParseUint(strings.TrimSuffix(name, ".log"), 10, 32)
	if err != nil {
		return nil, nil // a stranger's
	}
	octets, err := readAll(fs, filepath.Join(dir, name))
	if err != nil {
		return nil, err
	}
	return logChunks(octets, uint32(number)), nil
}

// currentManifest returns the manifest that the marker with the greatest number
// names; empty for a new database. A marker's name is
// marker.manifest.NUMBER.MANIFEST-NUMBER.
func currentManifest(names []string) (manifest string) {
	newest := uint64(0)
	for _, name := range names {
		rest, ok := strings.CutPrefix(name, "marker.manifest.")
		number, of, _ := strings.Cut(rest, ".")
		n, err := strconv.ParseUint(number, 10, 64)
		if ok && err == nil && n >= newest {
			newest, manifest = n, of
		}
	}
	return manifest
}

func (s *Store) verifyManifest(name string) error {
	if name == "" || !s.exists(s.path("db", name)) {
		return nil // Pebble says what is missing
	}
	octets, err := readAll(s.fs, s.path("db", name))
	if err != nil {
		return err
	}
	for c := manifestChunks(octets); ; {
		_, ok := c.next()
		switch {
		case !ok:
			return nil
		case c.gap >= 0:
			return &damage{fmt.Errorf("%s has a damaged place at octet %d", name, c.gap)}
		}
	}
}
