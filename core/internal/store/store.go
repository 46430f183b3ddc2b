// SPDX-License-Identifier: Apache-2.0

// Package store owns the data directory: it opens Pebble once, keeps message
// bodies that are too large for it in a spool of files, watches the free space,
// and turns a fault of the disk into an error and a health state.
//
// The directory looks like this:
//
//	db/          Pebble: log, tables, LOCK (one process at a time)
//	spool/ID     body of a queued message, named by its id
//	spool/tmp/   bodies that are still being received
//	ballast      space kept back for the moment when the disk is full
//	restore.unfinished/  a backup that is being restored (restore.go)
//	damaged/     what `queue fsck --repair` has moved aside (aside.go)
//
// Rooms own key ranges by their first byte: 'q' is the queue's, 'k' the
// key-value stores'. The queue writes batches of its own (Commit); others use a
// Range, which hides Pebble.
//
// # When the disk fails
//
// Pebble ends the process, or panics with its locks held, when its log or its
// manifest cannot be written or synced. A library must not do that. So every
// file operation of Pebble goes through a layer of ours (disk.go). At the first
// failure of a write, a sync or a folder sync the layer freezes: it reports the
// fault (Healthy, Failed), touches the disk no more, and tells Pebble that all
// went well. Nobody believes that: Commit looks at the fault after Pebble
// returned, so no caller is ever told that such a batch is durable, and no file
// handle is synced a second time after a failed sync (after a failed fsync the
// page cache cannot be trusted). What was acknowledged before is on the disk.
// The way out is Close and Open: once inside the process, else by the next
// start. Both read the log again and write what it holds to new files.
//
// A disk that hangs is no fault either: when a write or a sync is under way for
// longer than Options.Stall, Room refuses mail (452), Stalled says so, and both
// end by themselves when it comes back. Calls that wait for it go on waiting:
// nobody knows yet whether what they wrote will be durable.
//
// A full disk is no fault as long as it is seen in time: Room refuses mail
// (452) below a floor of free space, and when something else fills the disk
// all the same, the ballast file is removed and the write is tried again. The
// floor clears by itself.
package store

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/go-hclog"
)

// Defaults of Options.
const (
	DefaultMinFree  = 64 << 20
	DefaultBallast  = 16 << 20
	DefaultMemtable = 8 << 20
)

// The bound of Pebble's memory: at most maxMemtables memtables, and beside them
// blockCache octets of tables that were read; 64 MiB in all. Pebble takes the
// memtables out of its cache: one that is no bigger than they are caches nothing.
const (
	maxMemtables = 4
	blockCache   = 32 << 20
)

// Options says where the data live. Only Dir must be set.
type Options struct {
	FS       vfs.FS       // nil: the operating system's
	Dir      string       // the data directory; made if it is missing
	Logger   hclog.Logger // nil: none
	MinFree  int64        // octets of free space below which mail is refused; 0: DefaultMinFree, negative: no floor
	Ballast  int64        // octets kept back for a full disk; 0: DefaultBallast, negative: none
	Memtable int          // octets of writes held in memory before they go to tables; 0: DefaultMemtable

	Stall   time.Duration      // how long a write or sync may take before the disk counts as stalled; 0: DefaultStall
	OnStall func(stalled bool) // told when that begins and ends, on a goroutine of the store; it must be quick. nil: nobody
}

// ErrClosed is the error of every call after Close.
var ErrClosed = errors.New("store: closed")

// Store is an open data directory. It is safe for concurrent use.
type Store struct {
	log   hclog.Logger
	fs    vfs.FS // through the fault layer
	dir   string
	disk  *disk
	floor *floor
	spool *Spool

	synced atomic.Uint64 // number behind the last write that is known to be synced

	life   sync.RWMutex // held for reading while Pebble is in use, for writing by Close
	closed bool
	db     *pebble.DB
	lock   *pebble.Lock

	watching sync.WaitGroup // the goroutine that looks for stalls
}

// Open makes the data directory if needed, takes its lock and recovers what it
// holds. Its error is one sentence that names the directory and the remedy.
// The caller owns the Store and closes it after the rooms that use it.
func Open(o Options) (*Store, error) {
	o = o.withDefaults()
	s := newStore(o)
	if err := s.open(o); err != nil {
		s.abandon()
		return nil, explain(o.Dir, err)
	}
	return s, nil
}

// newStore returns a Store that nothing is opened of. o has its defaults.
func newStore(o Options) *Store {
	s := &Store{log: o.Logger, dir: o.Dir, disk: newDisk(o.Logger, newStalls(o.Stall, o.OnStall, o.Logger))}
	s.fs = &faultFS{FS: o.FS, disk: s.disk, db: s.path("db"), spool: s.path("spool")}
	return s
}

func (o Options) withDefaults() Options {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	if o.MinFree == 0 {
		o.MinFree = DefaultMinFree
	}
	if o.Ballast == 0 {
		o.Ballast = DefaultBallast
	}
	if o.Memtable == 0 {
		o.Memtable = DefaultMemtable
	}
	if o.Stall == 0 {
		o.Stall = DefaultStall
	}
	if o.OnStall == nil {
		o.OnStall = func(bool) {}
	}
	o.Dir = filepath.Clean(o.Dir)
	return o
}

func (s *Store) open(o Options) error {
	if err := errors.Join(s.restoreEnded(), s.repairEnded()); err != nil {
		return err
	}
	if err := s.makeFolders(); err != nil {
		return err
	}
	var err error
	if s.lock, err = pebble.LockDirectory(s.path("db"), s.fs); err != nil {
		return &lockError{err}
	}
	s.floor = newFloor(o.FS, o.Dir, o.MinFree, o.Ballast, s.log)
	s.disk.makeRoom = s.floor.dropBallast
	if err := s.verify(); err != nil {
		return err
	}
	if s.db, err = pebble.Open(s.path("db"), s.pebbleOptions(o)); err != nil {
		return &damage{err}
	}
	if s.spool, err = openSpool(s.fs, s.path("spool"), s.floor, s.log); err != nil {
		return err
	}
	s.watching.Go(func() { s.disk.stalls.watch(s.disk.stopped) })
	return s.disk.fault()
}

// makeFolders makes the folders and makes them durable, up to the first folder
// that was there before.
func (s *Store) makeFolders() error {
	top := s.dir
	for !s.exists(top) && top != filepath.Dir(top) {
		top = filepath.Dir(top)
	}
	for _, dir := range []string{s.path("db"), s.path("spool", "tmp")} {
		if err := s.fs.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	for dir := s.path("spool"); len(dir) >= len(top); dir = filepath.Dir(dir) {
		if err := syncFolder(s.fs, dir); err != nil {
			return err
		}
		if dir == top {
			break
		}
	}
	return nil
}

func (s *Store) exists(dir string) bool {
	_, err := s.fs.Stat(dir)
	return err == nil
}

// pebbleOptions: a small memtable is enough, since most bodies are delivered
// before it is flushed; the format version is fixed here so that a newer
// library does not raise it unasked.
func (s *Store) pebbleOptions(o Options) *pebble.Options {
	p := &pebble.Options{
		FS:                          s.fs,
		Lock:                        s.lock,
		Logger:                      &pebbleLog{log: o.Logger.Named("pebble"), disk: s.disk},
		FormatMajorVersion:          pebble.FormatWALSyncChunks,
		MemTableSize:                uint64(o.Memtable),
		MemTableStopWritesThreshold: maxMemtables,
		CacheSize:                   blockCache + maxMemtables*int64(o.Memtable),
		MaxOpenFiles:                512,
	}
	p.EventListener = events(p.Logger, o.Logger.Named("pebble"))
	return p
}

// Close waits for calls that are under way, flushes and closes Pebble, and
// gives the lock back. It returns the fault if there was one. Calls after the
// first return ErrClosed.
func (s *Store) Close() error {
	s.disk.stop()
	s.watching.Wait()
	s.life.Lock()
	defer s.life.Unlock()
	if s.closed {
		return ErrClosed
	}
	s.closed = true
	err := s.db.Close()
	if s.floor != nil {
		s.floor.close()
	}
	if lerr := s.lock.Close(); err == nil {
		err = lerr
	}
	if fault := s.disk.fault(); fault != nil {
		return fault
	}
	return err
}

// abandon gives back what a failed Open had taken.
func (s *Store) abandon() {
	s.disk.stop()
	s.watching.Wait()
	s.closed = true
	if s.db != nil {
		_ = s.db.Close()
	}
	if s.lock != nil {
		_ = s.lock.Close()
	}
}

// Healthy returns nil, or why no batch can be made durable any more: the
// first fault of the disk, or ErrClosed. A full disk is not unhealthy; ask Room.
func (s *Store) Healthy() error {
	s.life.RLock()
	defer s.life.RUnlock()
	return s.usable()
}

// usable is Healthy for those who hold life.
func (s *Store) usable() error {
	if s.closed {
		return ErrClosed
	}
	return s.disk.fault()
}

// Failed returns a channel that is closed at the first fault of the disk. The
// remedy is to close the rooms and the store, and to open them again.
func (s *Store) Failed() <-chan struct{} { return s.disk.failed }

// Fail notes that what is stored cannot be read, as a fault of the disk: nothing
// more is accepted until the store is opened again. op says what was done.
func (s *Store) Fail(op string, err error) { s.disk.fail(op, err) }

// Room returns nil when n more octets can be taken in without falling below
// the floor of free space and the disk answers, else a 452 4.3.1 *mail.Reply. It
// asks the filesystem, or trusts what that said up to 50 ms ago when there was
// plenty.
func (s *Store) Room(n int64) error {
	if s.Stalled() {
		return errStalled()
	}
	return s.floor.room(n)
}

// Stalled reports whether a write or a sync is under way for longer than
// Options.Stall. It ends by itself.
func (s *Store) Stalled() bool { return s.disk.stalls.now() }

// Syncs returns the number of syncs of files and folders since Open.
func (s *Store) Syncs() int64 { return s.disk.syncs.Load() }

// Spool returns the spool of bodies.
func (s *Store) Spool() *Spool { return s.spool }

// Pebble returns the database, for reading and metrics by rooms that own a key
// range. It must not be used after Close. Write with Commit.
func (s *Store) Pebble() *pebble.DB { return s.db }

// NewBatch returns an empty batch; the caller closes it after Commit.
func (s *Store) NewBatch() *pebble.Batch { return s.db.NewBatch() }

// Commit applies b, whole or not at all. With durable it returns after the
// sync that covers b, which concurrent callers share; without, b becomes
// durable with the next durable Commit that begins after this one returned.
// After an error nobody knows whether b will be there after the next Open.
func (s *Store) Commit(b *pebble.Batch, durable bool) error {
	s.life.RLock()
	defer s.life.RUnlock()
	if err := s.usable(); err != nil {
		return err
	}
	if err := s.commit(b, durable); err != nil {
		return fmt.Errorf("store: commit: %w", err)
	}
	return s.disk.fault()
}

// commit puts into b what is known to be synced (verify.go), and applies it.
func (s *Store) commit(b *pebble.Batch, durable bool) error {
	if err := b.LogData(claim(s.synced.Load()), nil); err != nil {
		return err
	}
	if err := b.Commit(&pebble.WriteOptions{Sync: durable}); err != nil {
		return err
	}
	if durable && s.disk.fault() == nil {
		s.reached(uint64(b.SeqNum()) + uint64(b.Count()))
	}
	return nil
}

// reached notes that the writes before number end are synced.
func (s *Store) reached(end uint64) {
	for {
		was := s.synced.Load()
		if end <= was || s.synced.CompareAndSwap(was, end) {
			return
		}
	}
}

// Sync returns after a sync that covers every batch committed before.
func (s *Store) Sync() error {
	b := s.NewBatch()
	defer b.Close()
	if err := b.LogData(nil, nil); err != nil {
		return fmt.Errorf("store: sync: %w", err)
	}
	return s.Commit(b, true)
}

// Get hands the value of key to f and reports whether there is one. The value
// is f's only during the call.
func (s *Store) Get(key []byte, f func(value []byte) error) (bool, error) {
	s.life.RLock()
	defer s.life.RUnlock()
	if s.closed {
		return false, ErrClosed
	}
	value, closer, err := s.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, s.readFault(err)
	}
	defer closer.Close()
	return true, f(value)
}

// Scan hands the keys from (inclusive) to (exclusive) and their values to f,
// in order, until f returns false. Key and value are f's only during the call.
func (s *Store) Scan(from, to []byte, f func(key, value []byte) bool) error {
	s.life.RLock()
	defer s.life.RUnlock()
	if s.closed {
		return ErrClosed
	}
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: to})
	if err != nil {
		return fmt.Errorf("store: scan: %w", err)
	}
	for ok := it.First(); ok; ok = it.Next() {
		if !f(it.Key(), it.Value()) {
			break
		}
	}
	return s.readFault(it.Close())
}

// readFault tells damaged octets from a disk that does not read: only the
// former are ErrDamaged.
func (s *Store) readFault(err error) error {
	switch {
	case err == nil:
		return nil
	case pebble.IsCorruptionError(err):
		return explainDamage(s.dir, &damage{err})
	}
	return fmt.Errorf("store: read: %w", err)
}

func (s *Store) path(elem ...string) string {
	return filepath.Join(append([]string{s.dir}, elem...)...)
}
