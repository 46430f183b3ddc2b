// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/postroad-mail/postroad/core/mail"
)

func open(t testing.TB, o Options) *Store {
	t.Helper()
	if o.Dir == "" {
		o.Dir = "/data"
	}
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func set(s *Store, key, value string, durable bool) error {
	b := s.NewBatch()
	defer b.Close()
	if err := b.Set([]byte(key), []byte(value), nil); err != nil {
		return err
	}
	return s.Commit(b, durable)
}

func get(t testing.TB, s *Store, key string) (value string) {
	t.Helper()
	_, err := s.Get([]byte(key), func(v []byte) error { value = string(v); return nil })
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func spool(t testing.TB, s *Store, p []byte) *Body {
	t.Helper()
	w := s.Spool().NewBody()
	for i := 0; i < len(p); i += 1000 {
		if _, err := w.Write(p[i:min(i+1000, len(p))]); err != nil {
			t.Fatal(err)
		}
	}
	b, err := w.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func octets(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(i * 7 / 3)
	}
	return p
}

func read(t testing.TB, b *Body) []byte {
	t.Helper()
	p, err := io.ReadAll(io.NewSectionReader(b, 0, b.Size()))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestDataSurviveARestart(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Options{Dir: dir})
	if err := set(s, "k", "v", true); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); !errors.Is(err, ErrClosed) {
		t.Errorf("second close: %v", err)
	}
	if err := set(s, "k", "w", true); !errors.Is(err, ErrClosed) {
		t.Errorf("commit after close: %v", err)
	}
	if v := get(t, open(t, Options{Dir: dir}), "k"); v != "v" {
		t.Errorf("k = %q", v)
	}
}

func TestBodies(t *testing.T) {
	s := open(t, Options{Dir: t.TempDir()})
	for _, n := range []int{0, 1, Inline, Inline + 1, 5*Inline + 17} {
		want := octets(n)
		b := spool(t, s, want)
		if _, inMemory := b.Bytes(); inMemory != (n <= Inline) {
			t.Errorf("body of %d octets: in memory %v", n, inMemory)
		}
		if got := read(t, b); !bytes.Equal(got, want) || b.Size() != int64(n) {
			t.Errorf("body of %d octets came back with %d", n, len(got))
		}
		if n, err := b.ReadAt(make([]byte, 10), b.Size()); n != 0 || err != io.EOF {
			t.Errorf("read behind the end: %d %v", n, err)
		}
		b.Release()
		b.Release()
	}
	if names := list(t, s, "spool/tmp"); len(names) > 0 {
		t.Errorf("released bodies left %v", names)
	}
}

// A body that was opened again is readable whatever becomes of the first.
func TestABodyOpenedAgainStays(t *testing.T) {
	s := open(t, Options{Dir: t.TempDir()})
	for name, then := range map[string]func(b *Body) error{
		"released": func(b *Body) error { b.Release(); return nil },
		"kept and removed": func(b *Body) error {
			defer b.Release()
			return errors.Join(s.Spool().Keep(b, "ONE"), s.Spool().Remove("ONE"))
		},
	} {
		for _, n := range []int{10, 3 * Inline} {
			if n == 10 && name != "released" {
				continue // it is no file
			}
			want := octets(n)
			b := spool(t, s, want)
			again, err := b.Again()
			if err = errors.Join(err, then(b)); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(read(t, again), want) {
				t.Errorf("%s: %d octets are not the same", name, n)
			}
			again.Release()
		}
	}
	if names := list(t, s, "spool/tmp"); len(names) > 0 {
		t.Errorf("bodies left %v", names)
	}
	b := spool(t, s, octets(2*Inline))
	defer b.Release()
	if err := s.Spool().Keep(b, "TWO"); err != nil {
		t.Fatal(err)
	}
	if again, err := b.Again(); err != nil || again.Size() != 2*Inline {
		t.Errorf("a kept body: %v", err)
	} else {
		again.Release()
	}
}

func list(t testing.TB, s *Store, dir string) []string {
	t.Helper()
	names, err := s.fs.List(s.path(dir))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestKeptBodyStays(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Options{Dir: dir})
	want := octets(200_000)
	b := spool(t, s, want)
	if err := errors.Join(s.Spool().Keep(b, "ONE"), s.Spool().Keep(b, "TWO")); err != nil {
		t.Fatal(err)
	}
	b.Release()
	unkept := spool(t, s, want) // never released: the process ends here
	_ = s.Close()
	_ = unkept

	s = open(t, Options{Dir: dir})
	if ids, err := s.Spool().List(); err != nil || len(ids) != 2 {
		t.Errorf("kept bodies: %v %v", ids, err)
	}
	if names := list(t, s, "spool/tmp"); len(names) > 0 {
		t.Errorf("unfinished bodies left: %v", names)
	}
	again, err := s.Spool().Open("TWO")
	if err != nil {
		t.Fatal(err)
	}
	defer again.Release()
	if !bytes.Equal(read(t, again), want) {
		t.Error("kept body is not the same")
	}
	for range 2 {
		if err := s.Spool().Remove("ONE"); err != nil {
			t.Error(err)
		}
	}
}

func TestAbortedBodyLeavesNothing(t *testing.T) {
	s := open(t, Options{Dir: t.TempDir()})
	w := s.Spool().NewBody()
	if _, err := w.Write(octets(3 * Inline)); err != nil {
		t.Fatal(err)
	}
	w.Abort()
	w.Abort()
	if _, err := w.Write([]byte("x")); err == nil {
		t.Error("write after abort")
	}
	if names := list(t, s, "spool/tmp"); len(names) > 0 {
		t.Errorf("left: %v", names)
	}
}

func TestRange(t *testing.T) {
	s := open(t, Options{FS: vfs.NewMem()})
	a, b := s.Range("ka\x00"), s.Range("kb\x00")
	for _, k := range []string{"1", "2", "3"} {
		if err := errors.Join(a.Set([]byte(k), []byte("a"+k)), b.Set([]byte(k), []byte("b"+k))); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Delete([]byte("1")); err != nil {
		t.Fatal(err)
	}
	var got []string
	err := a.Scan([]byte("2"), func(k, v []byte) bool { got = append(got, string(k)+"="+string(v)); return true })
	if err != nil || fmt.Sprint(got) != "[2=a2 3=a3]" {
		t.Errorf("scan: %v %v", got, err)
	}
	if end := after("a\xff\xff"); string(end) != "b" {
		t.Errorf("end of a range: %q", end)
	}
	if end := after("\xff"); end != nil {
		t.Errorf("end of the last range: %q", end)
	}
}

func TestLockedDirectoryIsOneClearSentence(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Options{Dir: dir})
	_, err := Open(Options{Dir: dir})
	if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "data_dir") {
		t.Errorf("second open in this process: %v", err)
	}
	cmd := exec.Command(os.Args[0], "-test.run", "TestOpenInAnotherProcess")
	cmd.Env = append(os.Environ(), "POSTROAD_TEST_DIR="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("another process: %v\n%s", err, out)
	}
	_ = s.Close()
	open(t, Options{Dir: dir})
}

// TestOpenInAnotherProcess is the other process of the test above; by itself it
// has nothing to do.
func TestOpenInAnotherProcess(t *testing.T) {
	if dir := os.Getenv("POSTROAD_TEST_DIR"); dir != "" {
		if _, err := Open(Options{Dir: dir}); !errors.Is(err, ErrLocked) || strings.Contains(err.Error(), "\n") {
			t.Errorf("open: %v", err)
		}
	}
}

func TestUnusableDirectoryIsOneClearSentence(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{Dir: filepath.Join(file, "data")}); err == nil || !strings.Contains(err.Error(), "part of its path is a file") {
		t.Errorf("below a file: %v", err)
	}
	for fault, words := range map[error]string{
		syscall.EROFS:  "not writable",
		syscall.EACCES: "not writable",
		syscall.ENOSPC: "full disk",
		syscall.EIO:    "cannot be opened",
	} {
		fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind == errorfs.OpCreate {
				return &os.PathError{Op: "create", Path: op.Path, Err: fault}
			}
			return nil
		}))
		_, err := Open(Options{FS: fs, Dir: "/data"})
		if err == nil || !strings.Contains(err.Error(), words) || !strings.Contains(err.Error(), "/data") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v: %v", fault, err)
		}
	}
}

func TestOpenFailsCleanlyWhereverTheDiskFails(t *testing.T) {
	for n := int32(0); ; n++ {
		index := errorfs.OnIndex(n)
		s, err := Open(Options{FS: errorfs.Wrap(vfs.NewMem(), index), Dir: "/data"})
		if err == nil {
			_ = s.Close()
		}
		if index.Load() >= 0 { // it was never reached
			if err != nil {
				t.Errorf("open without a failure: %v", err)
			}
			t.Logf("%d operations", n)
			return
		}
	}
}

// TestFaultBecomesAnError lets one operation on the disk fail, whichever it is,
// or all from that one on, while writers are at work: no panic, no hang, no
// success afterwards, and whatever was acknowledged is there when the store is
// opened again.
func TestFaultBecomesAnError(t *testing.T) {
	kinds := map[string]errorfs.OpKind{
		"write": errorfs.OpFileWrite, "sync": errorfs.OpFileSync, "syncdata": errorfs.OpFileSyncData,
		"create": errorfs.OpCreate, "reuse": errorfs.OpReuseForWrite,
	}
	for name, kind := range kinds {
		for _, nth := range []int{0, 1, 7, 40} {
			for _, dead := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%d/%v", name, nth, dead), func(t *testing.T) { faultRun(t, kind, nth, dead) })
			}
		}
	}
}

// breaking is a disk on which an operation fails.
type breaking struct {
	mu    sync.Mutex
	kind  errorfs.OpKind
	nth   int
	dead  bool // all fail after it
	armed bool
	hit   bool
}

func (b *breaking) inject(op errorfs.Op) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.armed || b.hit && b.dead && op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
		if b.armed {
			return syscall.EIO
		}
		return nil
	}
	if op.Kind != b.kind || b.hit {
		return nil
	}
	b.nth--
	b.hit = b.nth < 0
	if b.hit {
		return syscall.EIO
	}
	return nil
}

func (b *breaking) arm() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.armed = true
}

func faultRun(t *testing.T, kind errorfs.OpKind, nth int, dead bool) {
	b := &breaking{kind: kind, nth: nth, dead: dead}
	mem := vfs.NewCrashableMem()
	s := open(t, Options{FS: errorfs.Wrap(mem, errorfs.InjectorFunc(b.inject)), Memtable: 128 << 10})
	b.arm()
	acked := writeUntilFault(s, 300)
	if s.Healthy() != nil {
		if err := set(s, "after", "fault", true); !errors.Is(err, ErrFault) {
			t.Errorf("commit after the fault: %v", err)
		}
		<-s.Failed()
	}
	b.mu.Lock()
	hit := b.hit
	b.mu.Unlock()
	if nth == 0 && !hit {
		t.Error("nothing failed: the test shows nothing")
	}
	crashed := mem.CrashClone(vfs.CrashCloneCfg{})
	_ = s.Close()
	s = open(t, Options{FS: crashed})
	for _, k := range acked {
		if v := get(t, s, k); len(v) != 3000 {
			t.Errorf("acknowledged %s is lost (fault hit: %v)", k, hit)
		}
	}
}

// writeUntilFault returns the keys that were acknowledged as durable.
func writeUntilFault(s *Store, n int) (acked []string) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	value := strings.Repeat("x", 3000)
	for w := range 4 {
		wg.Go(func() {
			for i := range n / 4 {
				k := fmt.Sprintf("k%d-%d", w, i)
				if set(s, k, value, true) != nil {
					return
				}
				mu.Lock()
				acked = append(acked, k)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return acked
}

// secondSync is a disk on which no sync of a log succeeds.
type secondSync struct {
	vfs.FS
	t *testing.T
}

func (f secondSync) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.FS.Create(name, c)
	if err != nil {
		return nil, err
	}
	return &failingSync{File: file, name: name, t: f.t}, nil
}

// failingSync fails every sync of a log and complains about a second one.
type failingSync struct {
	vfs.File
	name string
	n    int
	t    *testing.T
}

func (f *failingSync) SyncData() error {
	if !strings.HasSuffix(f.name, ".log") {
		return f.File.SyncData()
	}
	if f.n++; f.n > 1 {
		f.t.Errorf("%s was synced again after a failed sync", f.name)
	}
	return syscall.EIO
}

func (f *failingSync) Sync() error { return f.SyncData() }

func TestNoSecondSyncAfterAFailedOne(t *testing.T) {
	s := open(t, Options{FS: secondSync{vfs.NewMem(), t}})
	for range 3 {
		if err := set(s, "k", "v", true); !errors.Is(err, ErrFault) {
			t.Errorf("commit: %v", err)
		}
	}
	if err := s.Sync(); !errors.Is(err, ErrFault) {
		t.Errorf("sync: %v", err)
	}
	if err := s.Close(); !errors.Is(err, ErrFault) {
		t.Errorf("close: %v", err)
	}
}

func TestFailedSyncOfABodyConcernsThatMessageOnly(t *testing.T) {
	fail := true
	fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if fail && op.Kind == errorfs.OpFileSync && strings.Contains(op.Path, "spool/tmp/") {
			return syscall.EIO
		}
		return nil
	}))
	s := open(t, Options{FS: fs})
	b := spool(t, s, octets(100_000))
	if err := s.Spool().Keep(b, "ONE"); err == nil {
		t.Fatal("kept without a sync")
	}
	fail = false
	if err := s.Spool().Keep(b, "ONE"); err == nil {
		t.Error("the same handle was synced again")
	}
	b.Release()
	other := spool(t, s, octets(100_000))
	defer other.Release()
	if err := errors.Join(s.Healthy(), s.Spool().Keep(other, "TWO"), set(s, "k", "v", true)); err != nil {
		t.Errorf("others suffer: %v", err)
	}
}

// fullDisk is a memory disk with a number of octets that are free.
type fullDisk struct {
	vfs.FS
	mu    sync.Mutex
	free  int64
	asks  int // for the usage
	files map[string]int64
}

func (d *fullDisk) take(name string, n int) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if int64(n) > d.free {
		return &os.PathError{Op: "write", Path: name, Err: syscall.ENOSPC}
	}
	d.free -= int64(n)
	d.files[name] += int64(n)
	return nil
}

func (d *fullDisk) set(free int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.free = free
}

func (d *fullDisk) GetDiskUsage(string) (vfs.DiskUsage, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asks++
	return vfs.DiskUsage{AvailBytes: uint64(d.free)}, nil
}

func (d *fullDisk) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := d.FS.Create(name, c)
	return &fullFile{f, d, name}, err
}

func (d *fullDisk) Remove(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.free += d.files[name]
	delete(d.files, name)
	return d.FS.Remove(name)
}

type fullFile struct {
	vfs.File
	disk *fullDisk
	name string
}

func (f *fullFile) Write(p []byte) (int, error) {
	if err := f.disk.take(f.name, len(p)); err != nil {
		return 0, err
	}
	return f.File.Write(p)
}

func TestFullDiskIsRefusedAndClearsByItself(t *testing.T) {
	d := &fullDisk{FS: vfs.NewMem(), free: 10 << 20, files: map[string]int64{}}
	s := open(t, Options{FS: d, MinFree: 1 << 20, Ballast: 1 << 20})
	if err := s.Room(1000); err != nil {
		t.Fatal(err)
	}
	if err := s.Room(20 << 20); mail.ReplyOf(err).Code != 452 {
		t.Errorf("a message bigger than the disk: %v", err)
	}
	d.set(1<<20 - 1)
	if r := mail.ReplyOf(s.Room(0)); r == nil || r.Code != 452 || r.Enhanced != (mail.Enhanced{4, 3, 1}) {
		t.Errorf("below the floor: %v", r)
	}
	w := s.Spool().NewBody()
	if _, err := w.Write(octets(3 * Inline)); mail.ReplyOf(err).Code != 452 {
		t.Errorf("big body below the floor: %v", err)
	}
	w.Abort()
	if err := errors.Join(s.Healthy(), set(s, "k", "v", true)); err != nil {
		t.Errorf("below the floor the queue must go on: %v", err)
	}
	d.set(10 << 20)
	if err := s.Room(1000); err != nil {
		t.Errorf("with room again: %v", err)
	}
}

func TestPlentyOfRoomIsNotAskedForWithEachMessage(t *testing.T) {
	d := &fullDisk{FS: vfs.NewMem(), free: 10 << 30, files: map[string]int64{}}
	s := open(t, Options{FS: d, MinFree: 1 << 20, Ballast: 1 << 20})
	now := time.Unix(0, 0)
	s.floor.now = func() time.Time { return now }
	room := func(n int64, asks int, why string) {
		t.Helper()
		before := d.asks
		if err := s.Room(n); err != nil {
			t.Errorf("%s: %v", why, err)
		}
		if d.asks-before != asks {
			t.Errorf("%s: asked %d times, want %d", why, d.asks-before, asks)
		}
	}
	room(1000, 1, "the first")
	room(1000, 0, "the next")
	room(8<<30, 0, "with plenty still left behind it")
	room(1<<30, 1, "when what was let in since comes near the floor")
	now = now.Add(trusted)
	room(1000, 1, "later")
	d.set(1 << 29)
	now = now.Add(trusted)
	room(1000, 1, "with less than plenty")
	room(1000, 1, "still with less than plenty")
}

func TestBallastSavesTheLog(t *testing.T) {
	d := &fullDisk{FS: vfs.NewMem(), free: 10 << 20, files: map[string]int64{}}
	s := open(t, Options{FS: d, MinFree: 1 << 20, Ballast: 1 << 20})
	d.set(0)
	for i := range 20 {
		if err := set(s, fmt.Sprint(i), strings.Repeat("x", 1000), true); err != nil {
			t.Fatalf("commit %d on the full disk: %v", i, err)
		}
	}
	if d.files["/data/ballast"] != 0 {
		t.Error("the ballast is still there")
	}
	d.set(1<<20 + 1000)
	if mail.ReplyOf(s.Room(0)) == nil {
		t.Error("mail is accepted without a ballast")
	}
	d.set(10 << 20)
	if err := s.Room(0); err != nil {
		t.Errorf("with room again: %v", err)
	}
	if d.files["/data/ballast"] != 1<<20 {
		t.Errorf("the new ballast has %d octets", d.files["/data/ballast"])
	}
}

func TestFullDiskWithoutBallastIsAFaultNotAPanic(t *testing.T) {
	d := &fullDisk{FS: vfs.NewMem(), free: 10 << 20, files: map[string]int64{}}
	s := open(t, Options{FS: d, MinFree: -1, Ballast: -1})
	d.set(0)
	if err := set(s, "k", "v", true); !errors.Is(err, ErrFault) {
		t.Errorf("commit: %v", err)
	}
}

// TestHammer closes the store while it is in use.
func TestHammer(t *testing.T) {
	s := open(t, Options{FS: vfs.NewMem(), Memtable: 256 << 10})
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := 0; ; i++ {
				key := fmt.Sprint(w, "-", i%100)
				if err := set(s, key, strings.Repeat("v", 500), i%3 == 0); errors.Is(err, ErrClosed) {
					return
				} else if err != nil {
					t.Error(err)
				}
				_, _ = s.Get([]byte(key), func([]byte) error { return nil })
				_ = s.Scan([]byte("0"), []byte("1"), func(_, _ []byte) bool { return true })
				if w == 0 && i == 500 {
					go func() { _ = s.Close() }()
				}
			}
		})
	}
	wg.Wait()
}

func TestPebbleOptionsAreFixed(t *testing.T) {
	s := open(t, Options{FS: vfs.NewMem()})
	if v := s.Pebble().FormatMajorVersion(); v != pebble.FormatWALSyncChunks {
		t.Errorf("format version %v: an older program can no longer read the data", v)
	}
}

// TestWhatIsReadIsCached: Pebble takes its memtables out of the cache, and one of
// the size of a memtable cached nothing at all.
func TestWhatIsReadIsCached(t *testing.T) {
	s := open(t, Options{FS: vfs.NewMem()})
	b := s.NewBatch()
	defer b.Close()
	if err := errors.Join(b.Set([]byte("qx"), []byte("value"), nil), s.Commit(b, true), s.Pebble().Flush()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if ok, err := s.Get([]byte("qx"), func([]byte) error { return nil }); !ok || err != nil {
			t.Fatal(ok, err)
		}
	}
	if m := s.Pebble().Metrics().BlockCache; m.Hits == 0 || m.Size == 0 {
		t.Errorf("%d hits, %d octets", m.Hits, m.Size)
	}
}

// TestAViewStaysAsItWas, whatever is written meanwhile.
func TestAViewStaysAsItWas(t *testing.T) {
	s := open(t, Options{FS: vfs.NewMem()})
	set := func(key, value string) {
		b := s.NewBatch()
		defer b.Close()
		if err := errors.Join(b.Set([]byte(key), []byte(value), nil), s.Commit(b, true)); err != nil {
			t.Fatal(err)
		}
	}
	set("qa", "1")
	set("qc", "3")
	v, err := s.View()
	if err != nil {
		t.Fatal(err)
	}
	set("qa", "new")
	set("qb", "2")
	c, err := v.Cursor([]byte("q"), []byte("r"))
	if err != nil {
		t.Fatal(err)
	}
	var got string
	for ; c.Valid(); c.Next() {
		got += string(c.Key()) + "=" + string(c.Value()) + " "
	}
	if err := errors.Join(c.Err(), c.Close(), v.Close()); err != nil || got != "qa=1 qc=3 " {
		t.Errorf("%q, %v", got, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.View(); !errors.Is(err, ErrClosed) {
		t.Errorf("view of a closed store: %v", err)
	}
}
