// SPDX-License-Identifier: Apache-2.0

package wasmhost

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/postroad-mail/postroad/core/internal/grant"
	"github.com/postroad-mail/postroad/sdk/abi"
)

// Store is a key-value store as stages see it. Its methods are called by many
// goroutines at once.
type Store interface {
	// Get returns a value that the caller may keep, and whether there is one.
	Get(key []byte) ([]byte, bool, error)
	// Put sets a value; a ttl of 0 means the store's own. With onlyIfAbsent it
	// reports false, and changes nothing, when the key exists.
	Put(key, value []byte, ttl time.Duration, onlyIfAbsent bool) (bool, error)
	// Delete takes a key out; one that is not there is no error.
	Delete(key []byte) error
	// Add adds to a counter and returns its new value; an absent one counts as 0
	// and gets the ttl. A value that is no counter is abi.ErrConflict.
	Add(key []byte, delta int64, ttl time.Duration) (int64, error)
	// CompareAndSwap sets value when the key's value is old, and reports whether
	// it did.
	CompareAndSwap(key, old, value []byte, ttl time.Duration) (bool, error)
}

// Transactional is what a Store also offers that takes the writes of a hook as a
// whole. Others, those of tests, get them one by one.
type Transactional interface {
	// Growth returns what a value of n octets under key would add to the store
	// now; n < 0 stands for its removal. Room is abi.ErrLimit when there is no
	// room for that much more.
	Growth(key []byte, n int) (keys, octets int64, err error)
	Room(keys, octets int64) error
	// Begin checks the writes, each on what those before it leave, and holds
	// their keys and room until Commit or Abort. A condition that does not hold is
	// abi.ErrConflict. Commit writes all or, with an error, nothing.
	Begin(writes []StoreWrite) (StoreTx, error)
}

// StoreTx is a transaction that Begin has begun.
type StoreTx interface {
	Commit() error
	Abort()
}

// StoreWrite is one write of a hook to a store.
type StoreWrite struct {
	Kind            StoreOp
	Key, Old, Value []byte
	TTL             time.Duration // 0: the store's own
}

// StoreOp is what a StoreWrite does.
type StoreOp uint8

// The kinds of writes.
const (
	StoreSet         StoreOp = iota
	StoreSetIfAbsent         // a conflict when the key exists
	StoreRemove
	StoreSwap // a conflict when the key's value is not Old
	counted   // by a dry hook; never applied
)

// Bucket is a set of token buckets, one per key, as pipeline.hcl declares it.
type Bucket interface {
	// Take takes cost tokens, or none, and then says how long to wait for them.
	Take(key string, cost int) (allowed bool, wait time.Duration)
	// Peek says what Take would, and takes nothing.
	Peek(key string, cost int) (allowed bool, wait time.Duration)
}

// storeHandle(np, nn): a handle for a store by its name. Handles are indexes of
// what this instance has asked for.
func storeHandle(i *instance, s []uint64) int64 {
	return i.openStore(string(i.view(s[0], s[1])))
}

// openStore returns a handle for a store, or an error's number.
func (i *instance) openStore(name string) int64 {
	if len(name) > maxNameLen || !grant.Allows(i.stage.grant.Stores, name) {
		return int64(abi.ErrDenied)
	}
	st := i.stage.stores[name]
	if st == nil {
		return int64(abi.ErrDenied)
	}
	for n, have := range i.stores {
		if have == st {
			return int64(n)
		}
	}
	if len(i.stores) >= maxHandles {
		return int64(abi.ErrLimit)
	}
	i.stores, i.storeNames = append(i.stores, st), append(i.storeNames, name)
	return int64(len(i.stores) - 1)
}

// bucketHandle(np, nn): a handle for a bucket by its name.
func bucketHandle(i *instance, s []uint64) int64 {
	name := i.view(s[0], s[1])
	if len(name) > maxNameLen || !grant.Allows(i.stage.grant.Buckets, string(name)) {
		return int64(abi.ErrDenied)
	}
	b := i.stage.buckets[string(name)]
	if b == nil {
		return int64(abi.ErrDenied)
	}
	for n, have := range i.buckets {
		if have == b {
			return int64(n)
		}
	}
	if len(i.buckets) >= maxHandles {
		return int64(abi.ErrLimit)
	}
	i.buckets = append(i.buckets, b)
	return int64(len(i.buckets) - 1)
}

// rateTake(bucket, kp, kn, cost, out): take tokens at once. A dry hook looks
// and takes none, so that it may see the same tokens twice.
func rateTake(i *instance, s []uint64) int64 {
	key, out := i.view(s[1], s[2]), i.view(s[4], 8)
	h, cost := arg(s[0]), arg(s[3])
	if h < 0 || h >= len(i.buckets) || cost < 1 || len(key) > maxKey {
		return int64(abi.ErrBadArgument)
	}
	if !i.kvOp() {
		return int64(abi.ErrLimit)
	}
	take := i.buckets[h].Take
	if i.hook.Dry() {
		take = i.buckets[h].Peek
	}
	ok, wait := take(string(key), cost)
	binary.LittleEndian.PutUint64(out, uint64(milliseconds(wait)))
	if ok {
		return 1
	}
	return 0
}

// milliseconds rounds up, so that who waits that long has waited long enough.
func milliseconds(d time.Duration) int64 {
	if d <= 0 {
		return 0
	}
	return int64((d-1)/time.Millisecond) + 1
}

// kvOp counts an access to a store or bucket against the hook's share.
func (i *instance) kvOp() bool {
	i.used.kvOps++
	i.charge(chargePerKV)
	return i.used.kvOps <= maxKVOps
}

const chargePerKV = 20_000 // what a point read of Pebble costs, about

// kvArgs checks what all kv functions share: handle, key and share.
func (i *instance) kvArgs(h, kp, kn uint64) (key []byte, e abi.Errno) {
	key = i.view(kp, kn)
	return key, i.checkKey(arg(h), key)
}

func (i *instance) checkKey(h int, key []byte) abi.Errno {
	switch {
	case h < 0 || h >= len(i.stores), len(key) == 0, len(key) > maxKey:
		return abi.ErrBadArgument
	case !i.kvOp():
		return abi.ErrLimit
	}
	return 0
}

// ttlOf reads a time to live in milliseconds.
func ttlOf(ms uint64) (time.Duration, bool) {
	if int64(ms) < 0 || ms > uint64(maxTTL/time.Millisecond) {
		return 0, false
	}
	return time.Duration(ms) * time.Millisecond, true
}

// kvGet(s, kp, kn, b, c): the value of a key.
func kvGet(i *instance, s []uint64) int64 {
	key, e := i.kvArgs(s[0], s[1], s[2])
	if e != 0 {
		return int64(e)
	}
	v, ok, err := i.pending.get(i.stores[arg(s[0])], arg(s[0]), key)
	if err != nil {
		return i.errno("kv_get", err)
	}
	if !ok {
		return int64(abi.ErrNotFound)
	}
	return i.put(s[3], s[4], v)
}

// kvPut(s, kp, kn, vp, vn, ttl_ms, flags): set a key at the commit.
func kvPut(i *instance, s []uint64) int64 {
	key, e := i.kvArgs(s[0], s[1], s[2])
	if e != 0 {
		return int64(e)
	}
	return i.putKey(arg(s[0]), key, i.view(s[3], s[4]), s[5], arg(s[6]))
}

func (i *instance) putKey(store int, key, value []byte, ms uint64, flags int) int64 {
	ttl, ok := ttlOf(ms)
	if !ok || flags&^abi.KVIfAbsent != 0 {
		return int64(abi.ErrBadArgument)
	}
	op := write{store: store, StoreWrite: StoreWrite{Kind: StoreSet, TTL: ttl}}
	if flags&abi.KVIfAbsent != 0 {
		op.Kind = StoreSetIfAbsent
		_, exists, err := i.pending.get(i.stores[store], store, key)
		if err != nil {
			return i.errno("kv_put", err)
		}
		if exists {
			return int64(abi.ErrConflict)
		}
	}
	return i.buffer(op, key, nil, value)
}

// kvDel(s, kp, kn): delete a key at the commit.
func kvDel(i *instance, s []uint64) int64 {
	key, e := i.kvArgs(s[0], s[1], s[2])
	if e != 0 {
		return int64(e)
	}
	return i.buffer(write{store: arg(s[0]), StoreWrite: StoreWrite{Kind: StoreRemove}}, key, nil, nil)
}

// kvCAS(s, kp, kn, op, on, vp, vn, ttl_ms): compare now and at the commit.
func kvCAS(i *instance, s []uint64) int64 {
	key, e := i.kvArgs(s[0], s[1], s[2])
	if e != 0 {
		return int64(e)
	}
	return i.swapKey(arg(s[0]), key, i.view(s[3], s[4]), i.view(s[5], s[6]), s[7])
}

func (i *instance) swapKey(store int, key, old, value []byte, ms uint64) int64 {
	ttl, ok := ttlOf(ms)
	if !ok {
		return int64(abi.ErrBadArgument)
	}
	v, exists, err := i.pending.get(i.stores[store], store, key)
	if err != nil {
		return i.errno("kv_cas", err)
	}
	if !exists || string(v) != string(old) {
		return int64(abi.ErrConflict)
	}
	return i.buffer(write{store: store, StoreWrite: StoreWrite{Kind: StoreSwap, TTL: ttl}}, key, old, value)
}

// buffer copies a write out of the guest's memory and keeps it for the commit,
// if the store has room for it and for what the hook has written before. Others
// may take the room until then: the commit has the last word.
func (i *instance) buffer(op write, key, old, value []byte) int64 {
	n := len(key) + len(old) + len(value)
	if len(value) > maxValue || len(old) > maxValue || i.used.kvOctets+n > maxKVBytes {
		return int64(abi.ErrLimit)
	}
	i.used.kvOctets += n
	op.Key, op.Old, op.Value = clone(key), clone(old), clone(value)
	return i.errno("store", i.pending.put(i.stores[op.store], op))
}

func clone(b []byte) []byte { return append([]byte(nil), b...) }

// kvAdd(s, kp, kn, delta, ttl_ms, out): add to a counter at once. A key that
// this hook has written, and not committed, cannot be counted on. A dry hook
// counts in its overlay.
func kvAdd(i *instance, s []uint64) int64 {
	key, e := i.kvArgs(s[0], s[1], s[2])
	if e != 0 {
		return int64(e)
	}
	out := i.view(s[5], 8)
	n, r := i.addKey(arg(s[0]), key, int64(s[3]), s[4])
	if r == 0 {
		binary.LittleEndian.PutUint64(out, uint64(n))
	}
	return r
}

// addKey adds to a counter. It returns its new value, and 0 or an error's number.
func (i *instance) addKey(store int, key []byte, delta int64, ms uint64) (n, r int64) {
	ttl, ok := ttlOf(ms)
	if !ok || delta == math.MinInt64 {
		return 0, int64(abi.ErrBadArgument)
	}
	if i.pending.has(store, key) {
		return 0, int64(abi.ErrConflict)
	}
	n, err := i.count(store, clone(key), delta, ttl)
	if err != nil {
		return 0, i.errno("kv_add", err)
	}
	return n, 0
}

func (i *instance) count(store int, key []byte, delta int64, ttl time.Duration) (int64, error) {
	if i.hook.Dry() {
		return i.pending.count(i.stores[store], store, key, delta)
	}
	return i.stores[store].Add(key, delta, ttl)
}
