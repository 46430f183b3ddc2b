// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/postroad-mail/postroad/core/internal/bucket"
	"github.com/postroad-mail/postroad/core/internal/config"
	"github.com/postroad-mail/postroad/core/internal/kv"
	"github.com/postroad-mail/postroad/core/internal/pipeline"
	"github.com/postroad-mail/postroad/core/internal/store"
	"github.com/postroad-mail/postroad/core/internal/wasmhost"
	"github.com/postroad-mail/postroad/core/mail"
)

// quarantineTime is how long quarantined mail is kept before it is dropped.
const quarantineTime = 30 * 24 * time.Hour

// liveStore is a key-value store of pipeline.hcl that outlives the engine it
// lies in: after the data directory was opened again it is the store there.
type liveStore struct {
	r *Relay
	o kv.Options
}

func (r *Relay) liveStore(c *config.Store) wasmhost.Store {
	return &liveStore{r, kv.Options{Name: c.Name, Engine: c.Engine, TTL: c.TTL, MaxKeys: c.Keys, MaxBytes: c.Size}}
}

func (s *liveStore) open() (*kv.Store, error) {
	e, err := s.r.live()
	if err != nil {
		return nil, err
	}
	return e.stores.Open(s.o)
}

// Get implements wasmhost.Store.
func (s *liveStore) Get(key []byte) ([]byte, bool, error) {
	k, err := s.open()
	if err != nil {
		return nil, false, err
	}
	return k.Get(key)
}

// Put implements wasmhost.Store.
func (s *liveStore) Put(key, value []byte, ttl time.Duration, onlyIfAbsent bool) (bool, error) {
	k, err := s.open()
	if err != nil {
		return false, err
	}
	return k.Put(key, value, ttl, onlyIfAbsent)
}

// Delete implements wasmhost.Store.
func (s *liveStore) Delete(key []byte) error {
	k, err := s.open()
	if err != nil {
		return err
	}
	return k.Delete(key)
}

// Add implements wasmhost.Store.
func (s *liveStore) Add(key []byte, delta int64, ttl time.Duration) (int64, error) {
	k, err := s.open()
	if err != nil {
		return 0, err
	}
	return k.Add(key, delta, ttl)
}

// CompareAndSwap implements wasmhost.Store.
func (s *liveStore) CompareAndSwap(key, old, new []byte, ttl time.Duration) (bool, error) {
	k, err := s.open()
	if err != nil {
		return false, err
	}
	return k.CompareAndSwap(key, old, new, ttl)
}

var _ wasmhost.Transactional = (*liveStore)(nil)

// Growth implements wasmhost.Transactional.
func (s *liveStore) Growth(key []byte, n int) (keys, octets int64, err error) {
	k, err := s.open()
	if err != nil {
		return 0, 0, err
	}
	return k.Growth(key, n)
}

// Room implements wasmhost.Transactional.
func (s *liveStore) Room(keys, octets int64) error {
	k, err := s.open()
	if err != nil {
		return err
	}
	return k.Room(keys, octets)
}

// Begin implements wasmhost.Transactional.
func (s *liveStore) Begin(writes []wasmhost.StoreWrite) (wasmhost.StoreTx, error) {
	k, err := s.open()
	if err != nil {
		return nil, err
	}
	own := make([]kv.Write, len(writes))
	for n, w := range writes {
		own[n] = kv.Write{Kind: storeOps[w.Kind], Key: w.Key, Old: w.Old, Value: w.Value, TTL: w.TTL}
	}
	tx, err := k.Begin(own)
	if err != nil {
		return nil, err
	}
	return tx, nil
}

var storeOps = map[wasmhost.StoreOp]kv.Kind{
	wasmhost.StoreSet: kv.Set, wasmhost.StoreSetIfAbsent: kv.SetIfAbsent, wasmhost.StoreRemove: kv.Remove, wasmhost.StoreSwap: kv.Swap,
}

// bucketSet holds the token buckets by name. They survive a reload. What a
// configuration makes of those that are there holds once it is live.
type bucketSet struct {
	clock  Clock
	log    hclog.Logger
	mu     sync.Mutex
	byName map[string]*bucket.Buckets
}

func newBucketSet(c Clock, log hclog.Logger) *bucketSet {
	return &bucketSet{clock: c, log: log, byName: map[string]*bucket.Buckets{}}
}

func (s *bucketSet) get(c *config.Bucket, live *[]func()) *bucket.Buckets {
	name := c.Name
	o := bucket.Options{Rate: c.Rate, Per: c.Per, Burst: c.Burst, Clock: s.clock, Forgets: func(so int64) {
		s.log.Warn("more keys of a bucket are in use than are kept; those unused the longest have a full bucket again", "bucket", name, "keys", bucket.DefaultKeys, "forgotten", so)
	}}
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.byName[c.Name]
	if b == nil {
		b = bucket.New(o)
		s.byName[c.Name] = b
		return b
	}
	*live = append(*live, func() { b.Configure(o) })
	return b
}

// emitted returns the quota of new messages of a plugin. A space keeps its name
// apart from those of pipeline.hcl.
func (s *bucketSet) emitted(p *config.Plugin, live *[]func()) *bucket.Buckets {
	q := p.Limits.Emit
	return s.get(&config.Bucket{Name: "emit " + p.Name, Rate: q.Count, Per: q.Per, Burst: q.Count}, live)
}

// newBody returns a writer for the body of a new message.
func (r *Relay) newBody() pipeline.BodyWriter {
	e, err := r.live()
	if err != nil {
		return noBody{err}
	}
	return bodyWriter{e.store.Spool().NewBody()}
}

// bodyWriter is the spool's writer as pipeline declares it.
type bodyWriter struct{ *store.BodyWriter }

// Finish implements pipeline.BodyWriter.
func (w bodyWriter) Finish() (mail.Body, error) {
	b, err := w.BodyWriter.Finish()
	if err != nil {
		return nil, err
	}
	return b, nil
}

// noBody is a BodyWriter while there is no data directory to write to.
type noBody struct{ err error }

// Write implements io.Writer.
func (w noBody) Write([]byte) (int, error) { return 0, w.err }

// Finish implements pipeline.BodyWriter.
func (w noBody) Finish() (mail.Body, error) { return nil, w.err }

// Abort implements pipeline.BodyWriter.
func (noBody) Abort() {}
