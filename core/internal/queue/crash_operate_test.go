// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/postroad-mail/postroad/core/mail"
)

// promise is something that an operator does, and what holds once it has
// returned, whatever happens then.
type promise struct {
	name  string
	do    func(r *rig) error
	holds func(r *rig) string // empty: it does; else what is wrong
}

// promises are each about a message of its own, or a suspension.
func promises() []promise {
	ctx := context.Background()
	change := func(c Change, name string) func(r *rig) error {
		return func(r *rig) error { _, err := r.queue.Change(ctx, c, []string{ident(name)}); return err }
	}
	return []promise{
		{"enqueue", func(r *rig) error {
			for _, name := range []string{"reroute", "part", "bounce", "hold"} {
				if err := r.queue.Enqueue(ctx, message(ident(name), small, "x@one.example", "y@two.example")); err != nil {
					return err
				}
			}
			return nil
		}, func(r *rig) string { return r.here("hold") }},
		{"reroute", change(Change{Verb: Reroute, Route: "other", Only: Filter{RecipientDomain: "one.example"}}, "reroute"), func(r *rig) string {
			m, err := r.show(ident("reroute"))
			if err != nil || m.Envelope.Recipients[0].Route != "other" || m.Envelope.Recipients[1].Route != "" {
				return fmt.Sprint("rerouted message: ", err)
			}
			return contentFault(m)
		}},
		{"drop a part", change(Change{Verb: Drop, Only: Filter{RecipientDomain: "two.example"}}, "part"), func(r *rig) string {
			m, err := r.show(ident("part"))
			if err != nil || m.States[0].Status != mail.Deferred || m.States[1].Status != mail.Failed {
				return fmt.Sprint("message of which a part was dropped: ", err)
			}
			return ""
		}},
		{"bounce", bounceOne, func(r *rig) string {
			m, err := r.show(ident("bounce"))
			if err != nil || m.States[0].Status != mail.Failed || m.States[1].Status != mail.Deferred {
				return fmt.Sprint("message with a bounced recipient: ", err)
			}
			if _, err := r.show(DSNID(ident("bounce"), []int{0}, 0)); err != nil {
				return "its report: " + err.Error()
			}
			return ""
		}},
		{"hold", change(Change{Verb: PutOnHold, Hold: Hold{Kind: OnHold, Until: start.Add(time.Hour)}}, "hold"), func(r *rig) string {
			if m, err := r.show(ident("hold")); err != nil || m.Hold == nil || m.Hold.Until.IsZero() {
				return fmt.Sprint("held message: ", err)
			}
			return ""
		}},
		{"suspend", func(r *rig) error {
			_, err := r.queue.Suspend(Suspension{ID: ident("s1"), Tenant: "shop", Until: start.Add(time.Hour)})
			return err
		}, nil},
		{"suspend again", func(r *rig) error {
			_, err := r.queue.Suspend(Suspension{ID: ident("s2"), Tenant: "other", Until: start.Add(time.Hour)})
			return err
		}, func(r *rig) string { return r.suspended("other", true) }},
		{"resume", func(r *rig) error { _, err := r.queue.Resume(ident("s1")); return err },
			func(r *rig) string { return r.suspended("shop", false) }},
		{"import", func(r *rig) error {
			m := message(ident("import"), big, "x@one.example", "y@two.example")
			m.States = []State{{Status: mail.Failed, Attempts: 1}, {Attempts: 3, Next: start.Add(time.Hour)}}
			return r.queue.Enqueue(ctx, m)
		}, func(r *rig) string {
			m, err := r.show(ident("import"))
			if err != nil || m.States[0].Status != mail.Failed || m.States[1].Attempts != 3 || !m.States[1].Next.Equal(start.Add(time.Hour)) {
				return fmt.Sprint("imported message: ", err)
			}
			return contentFault(m)
		}},
	}
}

// bounceOne fails one of two recipients, as an operator's bounce does.
func bounceOne(r *rig) error {
	l, _, err := r.queue.TakeOver(ident("bounce"), Filter{RecipientDomain: "one.example"})
	if err != nil || len(l.Recipients) == 0 {
		return fmt.Errorf("nothing to bounce: %w", err)
	}
	dsn := message(ident("dsn"), 30, "from@sender.example")
	dsn.Envelope.ID, dsn.Envelope.Sender = "", ""
	o := mail.Outcome{Status: mail.Failed, Reply: mail.Reply{Code: 550, Text: "no"}}
	if err := r.queue.Settle(context.Background(), Result{Message: ident("bounce"), Outcomes: []Settled{{Outcome: o}}, DSN: []*Message{dsn}}); err != nil {
		return err
	}
	return r.queue.Flush()
}

func (r *rig) here(name string) string {
	if _, err := r.show(ident(name)); err != nil {
		return err.Error()
	}
	return ""
}

func (r *rig) suspended(tenant string, want bool) string {
	if got := r.queue.Suspended(tenant, "", "", "", r.clock.Now()) != nil; got != want {
		return fmt.Sprintf("tenant %s is suspended: %v", tenant, got)
	}
	return ""
}

// moment is a disk as a power loss would leave it, and how many promises were
// given by then.
type moment struct {
	disk  *vfs.MemFS
	given int
	op    string
}

// moments keeps all promises on a disk of which a copy is taken before each
// operation that changes it.
func moments(t *testing.T, cfg vfs.CrashCloneCfg, spoil func(vfs.FS) vfs.FS) []moment {
	t.Helper()
	var mu sync.Mutex
	var all []moment
	given := 0
	mem := vfs.NewCrashableMem()
	disk := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			mu.Lock()
			defer mu.Unlock()
			all = append(all, moment{mem.CrashClone(cfg), given, fmt.Sprint(op.Kind, " ", op.Path)})
		}
		return nil
	}))
	r := newRig(t, spoil(disk))
	for _, p := range promises() {
		if err := p.do(r); err != nil {
			t.Fatalf("%s: %v", p.name, err)
		}
		mu.Lock()
		given++
		mu.Unlock()
	}
	mu.Lock()
	all = append(all, moment{mem.CrashClone(cfg), given, "the end"})
	mu.Unlock()
	r.close()
	return all
}

// broken returns the promises that a crash at that moment breaks.
func (m *moment) broken(t *testing.T) (faults []string) {
	r := &rig{t: t, fs: m.disk, dir: "/data", clock: newRigClock()}
	if err := r.tryOpen(); err != nil {
		return []string{"open: " + err.Error()}
	}
	defer r.close()
	for _, p := range promises()[:m.given] {
		if p.holds == nil {
			continue
		}
		if fault := p.holds(r); fault != "" {
			faults = append(faults, p.name+": "+fault)
		}
	}
	return append(faults, r.verifySpool()...)
}

// TestPowerLossKeepsWhatOperatorsDid crashes at every operation of the disk.
func TestPowerLossKeepsWhatOperatorsDid(t *testing.T) {
	for _, percent := range []int{0, 50} {
		all := moments(t, vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rand.New(rand.NewPCG(3, uint64(percent)))}, unspoiled)
		t.Logf("%d crash points", len(all))
		for i := range all {
			for _, fault := range all[i].broken(t) {
				t.Errorf("%d%%: crash before %s, %d promises given: %s", percent, all[i].op, all[i].given, fault)
			}
		}
	}
}

// TestPowerLossOfWhatOperatorsDidIsFoundWithoutASync shows that the test above
// would find a change that is not synced.
func TestPowerLossOfWhatOperatorsDidIsFoundWithoutASync(t *testing.T) {
	all := moments(t, vfs.CrashCloneCfg{}, func(fs vfs.FS) vfs.FS {
		return unsynced{fs, func(path string) bool { return len(path) > 4 && path[len(path)-4:] == ".log" }}
	})
	broken := map[string]bool{}
	for i := range all {
		for _, fault := range all[i].broken(t) {
			broken[fault] = true
		}
	}
	if len(broken) < 5 {
		t.Errorf("without syncs only this was found: %v", broken)
	}
}
