// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/postroad-mail/postroad/core/internal/store"
)

// longLived is a disk with the queue of a relay that has run for a while and
// was killed: there are tables, a log, a manifest and body files. The messages
// in the ledger were acknowledged.
func longLived(t *testing.T) (*vfs.MemFS, *ledger) {
	t.Helper()
	mem, l := vfs.NewCrashableMem(), newLedger()
	r := newRig(t, mem)
	turnover(r, l)
	for i := range 12 {
		id, n := ident(fmt.Sprint("late", i)), small+i*1000
		if i == 3 {
			n = big
		}
		r.enqueue(message(id, n, "x@one.example"))
		l.bodies[id] = n
	}
	disk := mem.CrashClone(vfs.CrashCloneCfg{})
	r.close()
	return disk, l
}

// flip changes one octet of a file.
func flip(t *testing.T, fs vfs.FS, path string, at int) {
	t.Helper()
	octets := readFile(t, fs, path)
	octets[at] ^= 0x55
	writeFile(t, fs, path, octets)
}

func readFile(t *testing.T, fs vfs.FS, path string) []byte {
	t.Helper()
	f, err := fs.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	octets, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return octets
}

func writeFile(t *testing.T, fs vfs.FS, path string, octets []byte) {
	t.Helper()
	f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Write(octets)
	dir, derr := fs.OpenDir(filepath.Dir(path))
	if err := errors.Join(err, f.Sync(), f.Close(), derr); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(dir.Sync(), dir.Close()); err != nil {
		t.Fatal(err)
	}
}

// databaseFiles are the files of the database by kind.
func databaseFiles(t *testing.T, fs vfs.FS) map[string][]string {
	t.Helper()
	names, err := fs.List("/data/db")
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string][]string{}
	for _, name := range names {
		kind := strings.TrimPrefix(filepath.Ext(name), ".")
		if strings.HasPrefix(name, "MANIFEST") {
			kind = "manifest"
		}
		kinds[kind] = append(kinds[kind], filepath.Join("/data/db", name))
	}
	return kinds
}

// TestFlippedOctets changes an octet of the log, of a table or of the manifest,
// at many places. Either the queue has everything that was acknowledged, or it
// says what is wrong, with the remedy; and after that remedy it opens. What it
// does not have then is in the old database, and was in the block that was hit.
func TestFlippedOctets(t *testing.T) {
	step := 1
	if testing.Short() {
		step = 4
	}
	for _, kind := range []string{"log", "sst", "manifest"} {
		t.Run(kind, func(t *testing.T) {
			d := &damageRun{t: t}
			d.disk, d.ledger = longLived(t)
			d.count()
			for _, path := range databaseFiles(t, d.disk)[kind] {
				n := len(readFile(t, d.disk, path))
				for i := 0; i < 12; i += step { // more at the front: a log that is used again has old octets behind
					d.at(path, i*i*(n-1)/(11*11))
				}
			}
			t.Logf("%d places, %d seen at the start, at most %d messages missed", d.places, d.seen, d.most)
			if d.places < 12/step || step == 1 && d.seen == 0 { // of few places perhaps none matters
				t.Error("the test shows little")
			}
		})
	}
}

type damageRun struct {
	t                  *testing.T
	disk               *vfs.MemFS
	ledger             *ledger
	there              int // acknowledged and not delivered
	places, seen, most int
}

// count counts what a sound queue has.
func (d *damageRun) count() {
	r := newRig(d.t, d.disk.CrashClone(vfs.CrashCloneCfg{}))
	d.there = len(r.list(Filter{Limit: 1 << 20}))
	r.close()
}

func (d *damageRun) at(path string, at int) {
	fs := d.disk.CrashClone(vfs.CrashCloneCfg{})
	flip(d.t, fs, path, at)
	d.places++
	what := fmt.Sprintf("octet %d of %s", at, path)
	faults := verify(d.t, fs.CrashClone(vfs.CrashCloneCfg{}), d.ledger)
	if len(faults) == 0 {
		return
	}
	switch fault := faults[0]; {
	case !strings.HasPrefix(fault, "open: "):
		if !strings.Contains(fault, ErrDamaged.Error()) {
			d.t.Errorf("%s: lost without a word: %s", what, fault)
		}
	case !strings.Contains(fault, "queue fsck --repair") || strings.Contains(fault, "\n"):
		d.t.Errorf("%s: no clear sentence: %s", what, fault)
	default:
		d.seen++
	}
	d.repair(fs, what)
}

func (d *damageRun) repair(fs vfs.FS, what string) {
	o := store.Options{FS: fs, Dir: "/data", Memtable: 1 << 20}
	if f, err := CheckDir(o); err != nil || len(f.Problems) == 0 {
		d.t.Errorf("%s: fsck finds nothing: %+v, %v", what, f, err)
	}
	f, err := RepairDir(o, start)
	if err != nil {
		d.t.Errorf("%s: repair: %v", what, err)
		return
	}
	r := &rig{t: d.t, fs: fs, dir: "/data", clock: newRigClock()}
	if err := r.tryOpen(); err != nil {
		d.t.Errorf("%s: after the repair: %v", what, err)
		return
	}
	defer r.close()
	d.compare(r, f, what)
}

// maxMissed is the most that one damaged block, or one damaged record of the
// log, can hold: the biggest message fills one, small ones share it.
const maxMissed = 12

func (d *damageRun) compare(r *rig, f *Fsck, what string) {
	missed := 0
	for id, n := range d.ledger.bodies {
		if fault := r.verifyMessage(d.ledger, id, n); fault != "" {
			missed++
		}
	}
	d.most = max(d.most, missed)
	if missed > maxMissed || f.Messages < d.there-maxMissed {
		d.t.Errorf("%s: %d of %d messages are missed after the repair", what, missed, d.there)
	}
	if f.Aside == "" {
		d.t.Errorf("%s: nothing was kept", what)
	}
}

// TestAnInterruptedRepairIsFinished: between its last two steps there is no
// database. A relay that started then would find an empty queue, and remove the
// body files.
func TestAnInterruptedRepairIsFinished(t *testing.T) {
	disk, l := longLived(t)
	if err := disk.Rename("/data/db", "/data/db.repaired"); err != nil {
		t.Fatal(err)
	}
	faults := verify(t, disk, l)
	if len(faults) != 1 || !strings.Contains(faults[0], "fsck --repair again") {
		t.Fatalf("a relay starts: %v", faults)
	}
	if _, err := RepairDir(store.Options{FS: disk, Dir: "/data"}, start); err != nil {
		t.Fatal(err)
	}
	for _, fault := range verify(t, disk, l) {
		t.Error(fault)
	}
}

// TestFsckFindsAndMoves damages one thing at a time in a sound queue.
func TestFsckFindsAndMoves(t *testing.T) {
	a, b := ident("a"), ident("b")
	set := func(key, value []byte) func(*rig) error {
		return func(r *rig) error {
			w := r.store.NewBatch()
			defer w.Close()
			return errors.Join(w.Set(key, value, nil), r.store.Commit(w, true))
		}
	}
	half := func(k []byte) func(*rig) error {
		return func(r *rig) error {
			var v []byte
			_, err := r.store.Get(k, func(x []byte) error { v = append(v, x[:len(x)/2]...); return nil })
			return errors.Join(err, set(k, v)(r))
		}
	}
	for _, c := range []struct {
		name, want string
		damage     func(*rig) error
		left       int  // messages
		hold       bool // b stays on hold
	}{
		{"envelope", "damaged record", half(key(kindEnvelope, a)), 1, true},
		{"content", "content of", half(key(kindContent, a)), 1, true},
		{"state", "may get the message twice", half(stateKey(b, 0)), 2, true},
		{"hold", "stays on hold", half(key(kindHold, b)), 2, true},
		{"stray state", "no envelope", set(stateKey(ident("gone"), 0), []byte("x")), 2, true},
		{"stray content", "no envelope", set(key(kindContent, ident("gone")), []byte("x")), 2, true},
		{"recipient", "of recipient 9", set(stateKey(b, 9), appendState(nil, &State{})), 2, true},
		{"kind", "unknown kind", set([]byte("qx"), []byte("x")), 2, true},
		{"key", "octets", set([]byte("qeshort"), []byte("x")), 2, true},
		{"body", "body file is missing", func(r *rig) error { return r.store.Spool().Remove(a) }, 1, true},
		{"size", "body file has", func(r *rig) error {
			writeFile(t, r.fs, filepath.Join("/data/spool", a), []byte("short"))
			return nil
		}, 1, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, vfs.NewMem())
			r.enqueue(message(a, big, "x@one.example"), message(b, small, "x@one.example", "y@two.example"))
			r.due()
			r.settle(later(b, 0, start.Add(1)))
			if err := r.queue.Hold(t.Context(), Hold{Kind: Quarantine, Reason: "why"}, b); err != nil {
				t.Fatal(err)
			}
			if err := c.damage(r); err != nil {
				t.Fatal(err)
			}
			r.close()
			o := store.Options{FS: r.fs, Dir: "/data"}
			f, err := CheckDir(o)
			if err != nil || len(f.Problems) == 0 || !strings.Contains(strings.Join(f.Problems, " "), c.want) {
				t.Fatalf("fsck: %+v, %v", f, err)
			}
			if f, err = RepairDir(o, start); err != nil || f.Messages != c.left || f.Aside != "/data/damaged/20300102T030405Z" {
				t.Fatalf("repair: %+v, %v", f, err)
			}
			if f, err = CheckDir(o); err != nil || len(f.Problems) > 0 {
				t.Errorf("fsck after the repair: %+v, %v", f, err)
			}
			r.open()
			if s := r.queue.Stats(); s.Held.Messages+s.Quarantined.Messages != 1 || s.Ready.Messages != c.left-1 {
				t.Errorf("left: %+v", s)
			}
		})
	}
}

// TestFsckOfASoundQueue writes nothing, and says so.
func TestFsckOfASoundQueue(t *testing.T) {
	disk, _ := longLived(t)
	before := listing(t, disk)
	f, err := CheckDir(store.Options{FS: disk, Dir: "/data"})
	if err != nil || len(f.Problems) > 0 || f.Messages == 0 || f.BodyFiles == 0 {
		t.Fatalf("fsck: %+v, %v", f, err)
	}
	if after := listing(t, disk); after != before {
		t.Errorf("fsck changed the directory from\n%s to\n%s", before, after)
	}
	if f, err = RepairDir(store.Options{FS: disk, Dir: "/data"}, start); err != nil || f.Aside != "" && len(f.Notes) == 0 {
		t.Errorf("repair of a sound queue: %+v, %v", f, err)
	}
	if _, err := CheckDir(store.Options{FS: vfs.NewMem(), Dir: "/data"}); err == nil {
		t.Error("fsck of nothing")
	}
}

func listing(t *testing.T, fs vfs.FS) string {
	var b bytes.Buffer
	for _, dir := range []string{"/data", "/data/db", "/data/spool", "/data/spool/tmp"} {
		names, err := fs.List(dir)
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(names)
		fmt.Fprintln(&b, dir, names)
	}
	return b.String()
}

// TestStrangersFilesAreLeftAlone: what is not ours is neither removed nor in the
// way.
func TestStrangersFilesAreLeftAlone(t *testing.T) {
	r := newRig(t, vfs.NewMem())
	r.enqueue(message(ident("a"), big, "x@one.example"))
	r.close()
	strangers := []string{"/data/README", "/data/db/notes.txt", "/data/spool/lost+found/x", "/data/spool/notes", "/data/spool/tmp/notes"}
	for _, path := range strangers {
		if err := r.fs.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		writeFile(t, r.fs, path, []byte("mine"))
	}
	f, err := CheckDir(store.Options{FS: r.fs, Dir: "/data"})
	if err != nil || len(f.Problems) > 0 || len(f.Notes) != 2 {
		t.Errorf("fsck: %+v, %v", f, err)
	}
	r.reopen()
	wantContent(t, r.one().Message, big)
	for _, path := range strangers {
		if string(readFile(t, r.fs, path)) != "mine" {
			t.Errorf("%s is not what it was", path)
		}
	}
}

// TestAQueueOfANewerVersionIsLeftAlone: a program that knows less must not take
// records for damaged, and not send what it understands of them.
func TestAQueueOfANewerVersionIsLeftAlone(t *testing.T) {
	r := newRig(t, vfs.NewMem())
	r.enqueue(message(ident("a"), small, "x@one.example"))
	b := r.store.NewBatch()
	if err := errors.Join(b.Set(layoutKey(), []byte{envelopeVersion + 1, stateVersion}, nil), r.store.Commit(b, true), b.Close()); err != nil {
		t.Fatal(err)
	}
	r.close()
	err := r.tryOpen()
	if !errors.Is(err, ErrNewer) || !strings.Contains(err.Error(), "start that version") {
		t.Fatalf("open: %v", err)
	}
	for name, run := range map[string]func() error{
		"fsck":   func() error { _, err := CheckDir(store.Options{FS: r.fs, Dir: "/data"}); return err },
		"repair": func() error { _, err := RepairDir(store.Options{FS: r.fs, Dir: "/data"}, start); return err },
	} {
		if err := run(); !errors.Is(err, ErrNewer) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestADatabaseOfANewerVersionIsLeftAlone is the same one floor below.
func TestADatabaseOfANewerVersionIsLeftAlone(t *testing.T) {
	r := newRig(t, vfs.NewMem())
	r.close()
	for kind, paths := range databaseFiles(t, r.fs) {
		for _, path := range paths {
			if !strings.Contains(path, "marker.format-version") {
				continue
			}
			if err := r.fs.Rename(path, strings.TrimSuffix(path, kind)+"999"); err != nil {
				t.Fatal(err)
			}
		}
	}
	o := store.Options{FS: r.fs, Dir: "/data"}
	if err := r.tryOpen(); !errors.Is(err, store.ErrNewer) || !strings.Contains(err.Error(), "start that version") {
		t.Errorf("open: %v", err)
	}
	if _, err := RepairDir(o, start); !errors.Is(err, store.ErrNewer) {
		t.Errorf("repair: %v", err)
	}
}
