// SPDX-License-Identifier: Apache-2.0

package postroad

import (
	"errors"
	"time"

	"github.com/postroad-mail/postroad/sdk/abi"
)

// Level is the importance of a log line.
type Level int

// The levels.
const (
	Trace Level = abi.LogTrace
	Debug Level = abi.LogDebug
	Info  Level = abi.LogInfo
	Warn  Level = abi.LogWarn
	Error Level = abi.LogError
)

// Log writes a line to the relay's log; session id and stage are added there.
func (e *Env) Log(l Level, text string) { e.host.Log(int(l), text) }

// LogOn reports whether lines of that level are kept. Ask before making a long
// one.
func (e *Env) LogOn(l Level) bool { return e.host.LogOn(int(l)) }

// Now returns the host's time, to the millisecond. Tests can freeze it.
func (e *Env) Now() time.Time { return time.UnixMilli(e.host.Now()) }

// Secret returns the value of a granted secret. Do not log it.
func (e *Env) Secret(name string) (string, error) {
	b, err := read(nil, func(b []byte) int { return e.host.Secret(name, b) })
	return string(b), err
}

// Random fills p with random octets. Tests can freeze them.
func (e *Env) Random(p []byte) error {
	for len(p) > 0 {
		n := e.host.Random(p)
		if n <= 0 {
			return abi.ErrIO
		}
		p = p[n:]
	}
	return nil
}

// Store is a granted key-value store, shared by all instances.
type Store struct {
	host   Host
	handle int
}

// Store opens the store with that name in pipeline.hcl. Open it once, in Init.
func (e *Env) Store(name string) (Store, error) {
	n := e.host.Store(name)
	return Store{e.host, n}, check(n)
}

// Get returns the value of a key with this hook's own writes; ok is false when
// it is absent.
func (s Store) Get(key string) (value []byte, ok bool, err error) {
	v, err := read(nil, func(b []byte) int { return s.host.KVGet(s.handle, key, b) })
	if errors.Is(err, abi.ErrNotFound) {
		return nil, false, nil
	}
	return v, err == nil, err
}

// Put sets a key when the hook commits. A ttl of 0 is the store's own.
func (s Store) Put(key string, value []byte, ttl time.Duration) error {
	return check(s.host.KVPut(s.handle, key, value, ttl.Milliseconds(), 0))
}

// PutIfAbsent is Put for a key that is absent, else abi.ErrConflict.
func (s Store) PutIfAbsent(key string, value []byte, ttl time.Duration) error {
	return check(s.host.KVPut(s.handle, key, value, ttl.Milliseconds(), abi.KVIfAbsent))
}

// Delete takes a key out when the hook commits.
func (s Store) Delete(key string) error { return check(s.host.KVDel(s.handle, key)) }

// Add adds to a counter at once and returns its new value.
func (s Store) Add(key string, delta int64, ttl time.Duration) (int64, error) {
	v, n := s.host.KVAdd(s.handle, key, delta, ttl.Milliseconds())
	return v, check(n)
}

// CompareAndSwap replaces old by value when the hook commits, else it is
// abi.ErrConflict.
func (s Store) CompareAndSwap(key string, old, value []byte, ttl time.Duration) error {
	return check(s.host.KVCas(s.handle, key, old, value, ttl.Milliseconds()))
}

// Bucket is a granted token bucket, shared by all instances.
type Bucket struct {
	host   Host
	handle int
}

// Bucket opens the bucket with that name in pipeline.hcl. Open it once, in Init.
func (e *Env) Bucket(name string) (Bucket, error) {
	n := e.host.Bucket(name)
	return Bucket{e.host, n}, check(n)
}

// Take takes cost tokens of the key's bucket, at once and for good. When they
// are not there, wait says how long until they will be.
func (b Bucket) Take(key string, cost int) (allowed bool, wait time.Duration, err error) {
	ms, n := b.host.RateTake(b.handle, key, cost)
	return n == 1, time.Duration(ms) * time.Millisecond, check(n)
}
