// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
)

// vector is one golden vector: a value in words, and its octets.
type vector struct {
	Name    string          `json:"name"`
	Of      string          `json:"of"`              // what it is: the name of an enum of tags, or of another encoding
	Error   string          `json:"error,omitempty"` // of octets that must be refused
	Entries []entry         `json:"entries"`
	JSON    json.RawMessage `json:"json,omitempty"` // of a snapshot: the same in format 1
	Hex     string          `json:"hex"`            // the octets
}

// entry is one entry of a TLV, or without a tag a number in memory.
type entry struct {
	Tag     string  `json:"tag,omitempty"` // its name in abi.json, or a number that has none
	Number  int     `json:"number,omitempty"`
	Text    *string `json:"text,omitempty"`
	Hex     *string `json:"hex,omitempty"`
	U16     *uint16 `json:"u16,omitempty"`
	U32     *uint32 `json:"u32,omitempty"`
	I32     *int32  `json:"i32,omitempty"` // in front of Text
	U64     *uint64 `json:"u64,omitempty"`
	I64     *int64  `json:"i64,omitempty"`
	Entries []entry `json:"entries,omitempty"`
}

// renderVectors returns sdk/abi/vectors.json.
func renderVectors(s *spec) ([]byte, error) {
	out := make([]vector, len(s.Vectors))
	for i, v := range s.Vectors {
		if v.Error == "" {
			b, err := s.encodeEntries(v.Of, v.Entries)
			if err != nil {
				return nil, fmt.Errorf("vector %q: %w", v.Name, err)
			}
			v.Hex = hex.EncodeToString(b)
		}
		out[i] = v
	}
	return encode(object{"comment": generated, "vectors": out})
}

// encodeEntries writes entries one behind the other and puts in the numbers of
// their tags.
func (s *spec) encodeEntries(of string, entries []entry) ([]byte, error) {
	var b []byte
	for i := range entries {
		e := &entries[i]
		value, err := s.value(of, e)
		if err != nil {
			return nil, err
		}
		if e.Tag != "" {
			if e.Number, err = s.tag(of, e.Tag); err != nil {
				return nil, err
			}
			b = binary.LittleEndian.AppendUint16(b, uint16(e.Number))
			b = binary.LittleEndian.AppendUint32(b, uint32(len(value)))
		}
		b = append(b, value...)
	}
	return b, nil
}

func (s *spec) value(of string, e *entry) ([]byte, error) {
	le := binary.LittleEndian
	switch {
	case e.Hex != nil:
		return hex.DecodeString(*e.Hex)
	case e.U16 != nil:
		return le.AppendUint16(nil, *e.U16), nil
	case e.U32 != nil:
		return le.AppendUint32(nil, *e.U32), nil
	case e.U64 != nil:
		return le.AppendUint64(nil, *e.U64), nil
	case e.I64 != nil:
		return le.AppendUint64(nil, uint64(*e.I64)), nil
	case e.I32 != nil:
		return append(le.AppendUint32(nil, uint32(*e.I32)), *e.Text...), nil
	case e.Text != nil:
		return []byte(*e.Text), nil
	}
	return s.encodeEntries(of, e.Entries)
}

// tag returns the number of a tag. Those of a snapshot are fields too.
func (s *spec) tag(of, name string) (int, error) {
	if n, err := strconv.Atoi(name); err == nil {
		return n, nil
	}
	if of == "snapshot" {
		for _, f := range s.Fields {
			if f.Name == name {
				return f.Number, nil
			}
		}
		of = "snapshot_tag"
	}
	for _, v := range s.enum(of) {
		if v.Name == name {
			return v.Number, nil
		}
	}
	return 0, fmt.Errorf("enum %s has no tag %q", of, name)
}
