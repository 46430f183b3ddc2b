// SPDX-License-Identifier: Apache-2.0

package fake

import (
	"bytes"
	"encoding/binary"
	"slices"

	"github.com/postroad-mail/postroad/sdk/abi"
)

// MetaGet implements postroad.Host.
func (h *Host) MetaGet(scope int, key string, buf []byte) int {
	if scope < 0 || scope >= len(h.Notes) {
		return int(abi.ErrBadArgument)
	}
	for _, k := range []string{h.Stage + "." + key, key} {
		if v, ok := h.Notes[scope][k]; ok {
			return put(buf, v)
		}
	}
	return int(abi.ErrNotFound)
}

// MetaSet implements postroad.Host.
func (h *Host) MetaSet(scope int, key, value string) int {
	if scope < 0 || scope >= len(h.Notes) || key == "" {
		return int(abi.ErrBadArgument)
	}
	if h.Notes[scope] == nil {
		h.Notes[scope] = map[string]string{}
	}
	if value == "" {
		delete(h.Notes[scope], h.Stage+"."+key)
		return 0
	}
	h.Notes[scope][h.Stage+"."+key] = value
	return 0
}

// RouteSet implements postroad.Host.
func (h *Host) RouteSet(idx int, tlv []byte) int {
	entries, ok := parse(tlv)
	if !ok || len(entries) != 1 {
		return int(abi.ErrBadArgument)
	}
	if idx >= 0 && !h.live(idx) {
		return int(abi.ErrNotFound)
	}
	if h.Routes == nil {
		h.Routes = map[int]string{}
	}
	h.Routes[idx] = entries[0].value
	return 0
}

// handle returns the number of a name, giving out a new one at first use.
func handle(names *[]string, name string) int {
	if i := slices.Index(*names, name); i >= 0 {
		return i
	}
	*names = append(*names, name)
	return len(*names) - 1
}

// Store implements postroad.Host: a store that the test did not make is denied.
func (h *Host) Store(name string) int {
	if _, ok := h.Stores[name]; !ok {
		return int(abi.ErrDenied)
	}
	return handle(&h.stores, name)
}

func (h *Host) store(s int) map[string][]byte {
	if s < 0 || s >= len(h.stores) {
		return nil
	}
	return h.Stores[h.stores[s]]
}

// KVGet implements postroad.Host.
func (h *Host) KVGet(store int, key string, buf []byte) int {
	v, ok := h.store(store)[key]
	if !ok {
		return int(abi.ErrNotFound)
	}
	return put(buf, v)
}

// KVPut implements postroad.Host. It keeps no times to live.
func (h *Host) KVPut(store int, key string, value []byte, _ int64, flags int) int {
	s := h.store(store)
	if s == nil {
		return int(abi.ErrBadArgument)
	}
	if _, ok := s[key]; ok && flags&abi.KVIfAbsent != 0 {
		return int(abi.ErrConflict)
	}
	s[key] = bytes.Clone(value)
	return 0
}

// KVDel implements postroad.Host.
func (h *Host) KVDel(store int, key string) int {
	delete(h.store(store), key)
	return 0
}

// KVAdd implements postroad.Host.
func (h *Host) KVAdd(store int, key string, delta, _ int64) (int64, int) {
	s := h.store(store)
	old, ok := s[key]
	if s == nil || ok && len(old) != 8 {
		return 0, int(abi.ErrConflict)
	}
	n := delta
	if ok {
		n += int64(binary.LittleEndian.Uint64(old))
	}
	s[key] = binary.LittleEndian.AppendUint64(nil, uint64(n))
	return n, 0
}

// KVCas implements postroad.Host.
func (h *Host) KVCas(store int, key string, old, value []byte, _ int64) int {
	s := h.store(store)
	if v, ok := s[key]; !ok || !bytes.Equal(v, old) {
		return int(abi.ErrConflict)
	}
	s[key] = bytes.Clone(value)
	return 0
}

// Bucket implements postroad.Host: a bucket that the test did not make is denied.
func (h *Host) Bucket(name string) int {
	if _, ok := h.Buckets[name]; !ok {
		return int(abi.ErrDenied)
	}
	return handle(&h.buckets, name)
}

// RateTake implements postroad.Host. An empty bucket says to wait a second.
func (h *Host) RateTake(bucket int, _ string, cost int) (int64, int) {
	if bucket < 0 || bucket >= len(h.buckets) || cost < 1 {
		return 0, int(abi.ErrBadArgument)
	}
	name := h.buckets[bucket]
	if h.Buckets[name] < cost {
		return 1000, 0
	}
	h.Buckets[name] -= cost
	return 0, 1
}
