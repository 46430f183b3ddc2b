// SPDX-License-Identifier: Apache-2.0

package postroad

import "github.com/postroad-mail/postroad/sdk/abi"

// Snapshot is all that Get and GetInt tell, read with one call of the host.
type Snapshot struct {
	fields     map[int][]byte
	Recipients []SnapshotRecipient // those that the stage sees
	Header     []string            // raw fields with folding and CRLF; with the grant read headers
	Symbols    []Symbol            // what was scored so far
}

// SnapshotRecipient is one recipient of a Snapshot.
type SnapshotRecipient struct {
	Index  int
	fields map[int][]byte
}

// Symbol is a scored symbol.
type Symbol struct {
	Name  string
	Milli int // thousandths
}

// Snapshot reads everything at once. It pays for those who need more than about
// ten fields.
func (h *Hook) Snapshot() (*Snapshot, error) {
	b, err := read(nil, func(b []byte) int { return h.host.Snapshot(abi.SnapshotTLV, b) })
	if err != nil {
		return nil, err
	}
	return parseSnapshot(b)
}

// SnapshotJSON is Snapshot as JSON, for those who pass it on.
func (h *Hook) SnapshotJSON() ([]byte, error) {
	return read(nil, func(b []byte) int { return h.host.Snapshot(abi.SnapshotJSON, b) })
}

// Get returns a text or bytes field; ok is false when it is absent.
func (s *Snapshot) Get(field int) (text string, ok bool) { return get(s.fields, field) }

// GetInt returns an integer field; ok is false when it is absent.
func (s *Snapshot) GetInt(field int) (n int64, ok bool) { return getInt(s.fields, field) }

// Get returns a text or bytes field of the recipient, such as abi.FieldRcpt.
func (r *SnapshotRecipient) Get(field int) (text string, ok bool) { return get(r.fields, field) }

// GetInt returns an integer field of the recipient.
func (r *SnapshotRecipient) GetInt(field int) (n int64, ok bool) { return getInt(r.fields, field) }

func get(fields map[int][]byte, field int) (string, bool) {
	v, ok := fields[field]
	return string(v), ok
}

func getInt(fields map[int][]byte, field int) (int64, bool) {
	v, ok := fields[field]
	return int64(number(v)), ok && len(v) == 8
}

func parseSnapshot(b []byte) (*Snapshot, error) {
	s := &Snapshot{fields: map[int][]byte{}}
	err := eachTLV(b, func(tag int, v []byte) error {
		switch tag {
		case abi.SnapshotRecipient:
			r, err := snapshotRecipient(v)
			s.Recipients = append(s.Recipients, r)
			return err
		case abi.SnapshotHeader:
			s.Header = append(s.Header, string(v))
		case abi.SnapshotSymbol:
			if len(v) >= 4 {
				s.Symbols = append(s.Symbols, Symbol{Name: string(v[4:]), Milli: int(int32(u32(v)))})
			}
		default:
			s.fields[tag] = v
		}
		return nil
	})
	return s, err
}

func snapshotRecipient(b []byte) (SnapshotRecipient, error) {
	r := SnapshotRecipient{fields: map[int][]byte{}}
	err := eachTLV(b, func(tag int, v []byte) error {
		if tag == abi.SnapshotIndex {
			r.Index = int(number(v))
			return nil
		}
		r.fields[tag] = v
		return nil
	})
	return r, err
}
