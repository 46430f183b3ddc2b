// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/go-hclog"

	"github.com/postroad-mail/postroad/core/internal/store/storetest"
	"github.com/postroad-mail/postroad/core/mail"
)

func TestADiskThatHangsIsToldAndMailIsRefusedUntilItAnswers(t *testing.T) {
	disk := storetest.NewHanging()
	var told []bool
	s := open(t, Options{FS: disk, Stall: time.Hour, OnStall: func(stalled bool) { told = append(told, stalled) }})
	disk.Hang()
	done := make(chan error, 1)
	go func() { done <- set(s, "k", "v", true) }()
	<-disk.Entered
	s.disk.stalls.look(time.Now().Add(2 * time.Hour))

	var reply *mail.Reply
	if err := s.Room(0); !s.Stalled() || !errors.As(err, &reply) || reply.Code != 452 {
		t.Errorf("while the disk hangs: stalled %v, room %v", s.Stalled(), err)
	}
	if err := s.Healthy(); err != nil {
		t.Errorf("a disk that hangs is no fault: %v", err)
	}
	disk.Release()
	if err := <-done; err != nil {
		t.Errorf("the commit that hung: %v", err)
	}
	s.disk.stalls.look(time.Now())
	if err := s.Room(0); s.Stalled() || err != nil {
		t.Errorf("after the disk answered: stalled %v, room %v", s.Stalled(), err)
	}
	if !slices.Equal(told, []bool{true, false}) {
		t.Errorf("told %v, wanted once that it hangs and once that it does not", told)
	}
}

// TestWhatABackupWaitsForIsNoStall: the folder of a backup may be anywhere, and
// slow.
func TestWhatABackupWaitsForIsNoStall(t *testing.T) {
	s := open(t, Options{FS: vfs.NewMem()})
	during := -1
	err := s.fs.(*faultFS).do(body, "write", "/elsewhere/file", false, func() error {
		during = len(s.disk.stalls.running)
		return nil
	})
	if err != nil || during != 0 {
		t.Errorf("%d operations noted, %v", during, err)
	}
}

func TestStalls(t *testing.T) {
	var told []bool
	s := newStalls(10*time.Second, func(on bool) { told = append(told, on) }, hclog.NewNullLogger())
	a, b := s.begin("sync", "log"), s.begin("write", "table")
	began := s.running[a].since
	for _, step := range []struct {
		after time.Duration
		end   uint64
		want  bool
	}{{9 * time.Second, 0, false}, {11 * time.Second, 0, true}, {12 * time.Second, a, true}, {13 * time.Second, b, false}, {time.Hour, 0, false}} {
		s.end(step.end)
		if s.look(began.Add(step.after)); s.now() != step.want {
			t.Errorf("after %s, %d ended: stalled %v", step.after, step.end, s.now())
		}
	}
	if len(told) != 2 || !told[0] || told[1] {
		t.Errorf("told %v, once each is wanted", told)
	}
}
