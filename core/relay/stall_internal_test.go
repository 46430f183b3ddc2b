// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/postroad-mail/postroad/core/internal/delivery"
	"github.com/postroad-mail/postroad/core/internal/store"
	"github.com/postroad-mail/postroad/core/internal/store/storetest"
	"github.com/postroad-mail/postroad/core/mail"
)

const stallConfig = `
admin { address = "" }
listener "smtp" "in" {
  address = "127.0.0.1:0"
}
routing {
  rule { route = route.out }
}
route "out" {
  discard {}
}
`

func TestADiskThatHangsRefusesMailAndHoldsDeliveryUntilItAnswers(t *testing.T) {
	const stall = time.Millisecond
	disk := storetest.NewHanging()
	r, err := Open(context.Background(), Options{Config: []byte(stallConfig), InMemory: true, DataDir: t.TempDir(), LogOutput: t.Output(),
		disk: func(o *store.Options) { o.FS, o.Stall = disk, stall }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	defer func() { stop(); <-ended }()

	disk.Hang()
	hung := make(chan error, 1)
	go func() { hung <- submitWhenTaken(r) }()
	<-disk.Entered
	waitUntil(func() bool { return actionNow(r) == delivery.Stall }, time.Now().Add(stall))
	if err := submit(r); !noStorage(err) {
		t.Errorf("while the disk hangs a message gave %v", err)
	}
	if err := r.room(0); !noStorage(err) {
		t.Errorf("while the disk hangs health is %v", err)
	}
	disk.Release()
	if err := <-hung; err != nil {
		t.Errorf("the message that was on its way: %v", err)
	}
	if err := submitWhenTaken(r); err != nil {
		t.Errorf("after the disk answered: %v", err)
	}
	waitUntil(func() bool { return actionNow(r) == delivery.Try }, time.Time{})
}

// actionNow is what delivery decides about a recipient that is due.
func actionNow(r *Relay) delivery.Action {
	env := &mail.Envelope{Recipients: []mail.Recipient{{Address: "c@d.test"}}}
	return r.engine.Load().sched.Explain(env, 0, delivery.State{}).Action
}

// waitUntil returns once ok holds, not before t.
func waitUntil(ok func() bool, t time.Time) {
	for !time.Now().After(t) || !ok() {
		runtime.Gosched()
	}
}

// submitWhenTaken submits a message until the disk answers in time: on a busy
// machine any sync may be slow.
func submitWhenTaken(r *Relay) error {
	for {
		if err := submit(r); !noStorage(err) {
			return err
		}
		runtime.Gosched()
	}
}

func noStorage(err error) bool {
	var reply *mail.Reply
	return errors.As(err, &reply) && reply.Code == 452 && strings.Contains(reply.Text, "does not answer")
}
