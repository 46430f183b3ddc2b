// SPDX-License-Identifier: Apache-2.0

// Package kv keeps the key-value stores that pipeline.hcl declares and plugins
// use. A store is a name, an engine and a default time to live; its data
// survive a reload of the configuration, and with the engine "pebble" a restart.
//
// Every operation on one key is atomic, and so is a transaction on several keys
// of one store (Begin). Writes to the
// engine "pebble" are not synced for their own sake: they become durable with
// the next accepted message, so that a power loss can take the last moments of
// a store, never half a value. That is enough for what stores are for (counters,
// greylisting, caches) and costs an accept nothing. Nothing in a store may decide
// whether a message is lost.
//
// What has expired is absent at once and removed later: when it is looked at,
// or by a sweep. A store is bounded in keys and octets; when it is full, what
// would add a key or grow a value is abi.ErrLimit, never an eviction, since a
// forgotten greylist entry or counter is a hole that somebody can cause.
package kv

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/postroad-mail/postroad/sdk/abi"
)

// Bounds of one key and one value, in octets.
const (
	MaxKey   = 1 << 10
	MaxValue = 64 << 10
)

// Defaults of Options.
const (
	DefaultMaxKeys  = 1 << 20
	DefaultMaxBytes = 256 << 20
)

// Clock tells the time and calls back later.
type Clock interface {
	Now() time.Time
	AfterFunc(d time.Duration, f func()) (stop func() bool)
}

// Engine holds the octets of one store, ordered by key. It must be safe for
// concurrent use. Keys and values that it hands out are the callee's only
// during the call.
type Engine interface {
	Get(key []byte, f func(value []byte)) (bool, error)
	Set(key, value []byte) error
	Delete(key []byte) error
	// Batch applies what f sets and removes whole or, with an error, not at all.
	Batch(f func(set func(key, value []byte), remove func(key []byte))) error
	Scan(from []byte, f func(key, value []byte) bool) error
}

// Options describes one store.
type Options struct {
	Name     string
	Engine   string        // "pebble" or "memory"
	TTL      time.Duration // of values whose writer names none; 0: for ever
	MaxKeys  int64         // 0: DefaultMaxKeys
	MaxBytes int64         // of keys and values; 0: DefaultMaxBytes
}

// Store is one key-value store. It is safe for concurrent use.
type Store struct {
	name   string
	engine Engine
	clock  Clock
	keys   atomic.Int64
	octets atomic.Int64

	ttl, maxKeys, maxBytes atomic.Int64 // a reload may change them

	seed  maphash.Seed
	locks [64]sync.Mutex // by hash of the key
}

// newStore counts what the engine holds.
func newStore(o Options, e Engine, c Clock) (*Store, error) {
	s := &Store{name: o.Name, engine: e, clock: c, seed: maphash.MakeSeed()}
	s.configure(o)
	err := e.Scan(nil, func(key, value []byte) bool {
		s.keys.Add(1)
		s.octets.Add(int64(len(key) + len(value)))
		return true
	})
	if err != nil {
		return nil, fmt.Errorf("kv: store %s: %w", o.Name, err)
	}
	return s, nil
}

func (s *Store) configure(o Options) {
	s.ttl.Store(int64(o.TTL))
	s.maxKeys.Store(orDefault(o.MaxKeys, DefaultMaxKeys))
	s.maxBytes.Store(orDefault(o.MaxBytes, DefaultMaxBytes))
}

func orDefault(n, def int64) int64 {
	if n <= 0 {
		return def
	}
	return n
}

// Len returns the number of keys and the octets of keys and values, with those
// that have expired and are not yet swept.
func (s *Store) Len() (keys, octets int64) { return s.keys.Load(), s.octets.Load() }

// Get returns a copy of the value of key, and whether there is one.
func (s *Store) Get(key []byte) ([]byte, bool, error) {
	if err := checkKey(key); err != nil {
		return nil, false, err
	}
	defer s.lock(key)()
	it, err := s.read(key)
	return it.value, it.live, err
}

// Put sets a value for ttl; 0 means the store's own. With onlyIfAbsent it
// reports false, and changes nothing, when the key exists.
func (s *Store) Put(key, value []byte, ttl time.Duration, onlyIfAbsent bool) (bool, error) {
	if err := checkKey(key); err != nil {
		return false, err
	}
	defer s.lock(key)()
	it, err := s.read(key)
	if err != nil || onlyIfAbsent && it.live {
		return false, err
	}
	err = s.write(key, it, value, s.expiry(ttl))
	return err == nil, err
}

// Delete takes a key out; one that is not there is no error.
func (s *Store) Delete(key []byte) error {
	if err := checkKey(key); err != nil {
		return err
	}
	defer s.lock(key)()
	it, err := s.read(key)
	if err != nil || !it.there {
		return err
	}
	return s.remove(key, it.size)
}

// Add adds to a counter, eight octets little-endian, and returns its new value.
// An absent one counts as 0 and gets the ttl (0: the store's own), one that is
// there keeps its own. A value that is no counter, or a sum that does not fit,
// is abi.ErrConflict.
func (s *Store) Add(key []byte, delta int64, ttl time.Duration) (int64, error) {
	if err := checkKey(key); err != nil {
		return 0, err
	}
	defer s.lock(key)()
	it, err := s.read(key)
	if err != nil {
		return 0, err
	}
	if !it.live {
		it.value, it.expires = make([]byte, 8), s.expiry(ttl)
	}
	if len(it.value) != 8 {
		return 0, abi.ErrConflict
	}
	was := int64(binary.LittleEndian.Uint64(it.value))
	sum := was + delta
	if (sum > was) != (delta > 0) && delta != 0 {
		return 0, abi.ErrConflict
	}
	value := binary.LittleEndian.AppendUint64(nil, uint64(sum))
	return sum, s.write(key, it, value, it.expires)
}

// CompareAndSwap sets value when the key's value is old, and reports whether it
// did. An absent key is not swapped: that is Put with onlyIfAbsent.
func (s *Store) CompareAndSwap(key, old, value []byte, ttl time.Duration) (bool, error) {
	if err := checkKey(key); err != nil {
		return false, err
	}
	defer s.lock(key)()
	it, err := s.read(key)
	if err != nil || !it.live || !bytes.Equal(it.value, old) {
		return false, err
	}
	err = s.write(key, it, value, s.expiry(ttl))
	return err == nil, err
}

func checkKey(key []byte) error {
	if len(key) == 0 || len(key) > MaxKey {
		return abi.ErrBadArgument
	}
	return nil
}

// lock locks the key and returns what unlocks it.
func (s *Store) lock(key []byte) (unlock func()) {
	m := &s.locks[s.stripe(key)]
	m.Lock()
	return m.Unlock
}

// item is what the engine has under a key.
type item struct {
	there   bool // a record is
	live    bool // and it has not expired
	size    int  // of the record
	expires int64
	value   []byte // a copy; only of a live one
}

// read looks a key up. The key is locked.
func (s *Store) read(key []byte) (it item, err error) {
	now := s.clock.Now().UnixNano()
	it.there, err = s.engine.Get(key, func(rec []byte) {
		it.size = len(rec)
		expires, value, ok := decode(rec)
		if it.live = ok && !expired(expires, now); it.live {
			it.expires, it.value = expires, append([]byte(nil), value...)
		}
	})
	return it, err
}

// write replaces what is under the key, within the bounds.
func (s *Store) write(key []byte, was item, value []byte, expires int64) error {
	if len(value) > MaxValue {
		return abi.ErrLimit
	}
	rec := encode(expires, value)
	keys, octets := int64(0), int64(len(rec)-was.size)
	if !was.there {
		keys, octets = 1, octets+int64(len(key))
	}
	if !s.reserve(keys, octets) {
		return abi.ErrLimit
	}
	if err := s.engine.Set(key, rec); err != nil {
		s.count(-keys, -octets)
		return err
	}
	return nil
}

// reserve counts a change, unless it grows the store beyond its bounds.
func (s *Store) reserve(keys, octets int64) bool {
	k, o := s.count(keys, octets)
	if s.over(keys, k, octets, o) {
		s.count(-keys, -octets)
		return false
	}
	return true
}

func (s *Store) count(keys, octets int64) (k, o int64) { return s.keys.Add(keys), s.octets.Add(octets) }

// over reports whether a change that leads to k keys and o octets is growth
// beyond the bounds.
func (s *Store) over(keys, k, octets, o int64) bool {
	return keys > 0 && k > s.maxKeys.Load() || octets > 0 && o > s.maxBytes.Load()
}

func (s *Store) remove(key []byte, size int) error {
	if err := s.engine.Delete(key); err != nil {
		return err
	}
	s.count(-1, -int64(len(key)+size))
	return nil
}

func (s *Store) expiry(ttl time.Duration) int64 {
	if ttl <= 0 {
		ttl = time.Duration(s.ttl.Load())
	}
	if ttl <= 0 {
		return 0
	}
	return s.clock.Now().Add(ttl).UnixNano()
}

func expired(expires, now int64) bool { return expires != 0 && expires <= now }

// A record is eight octets of expiry, in nanoseconds since 1970 big-endian and
// 0 for never, and the value.
func encode(expires int64, value []byte) []byte {
	return append(binary.BigEndian.AppendUint64(make([]byte, 0, 8+len(value)), uint64(expires)), value...)
}

func decode(rec []byte) (expires int64, value []byte, ok bool) {
	if len(rec) < 8 {
		return 0, nil, false
	}
	return int64(binary.BigEndian.Uint64(rec)), rec[8:], true
}

// sweep removes what has expired among the next n keys from a key on, and
// returns where to go on; nil at the end.
func (s *Store) sweep(from []byte, n int, log hclog.Logger) (next []byte) {
	now := s.clock.Now().UnixNano()
	var old [][]byte
	err := s.engine.Scan(from, func(key, rec []byte) bool {
		if n == 0 {
			next = append([]byte(nil), key...)
			return false
		}
		n--
		if expires, _, ok := decode(rec); !ok || expired(expires, now) {
			old = append(old, append([]byte(nil), key...))
		}
		return true
	})
	for _, key := range old {
		if err == nil {
			err = s.removeExpired(key)
		}
	}
	if err != nil {
		log.Warn("expired values not removed", "store", s.name, "error", err)
	}
	return next
}

// removeExpired removes a key that is still expired once it is locked.
func (s *Store) removeExpired(key []byte) error {
	defer s.lock(key)()
	it, err := s.read(key)
	if err != nil || !it.there || it.live {
		return err
	}
	return s.remove(key, it.size)
}
