// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postroad-mail/postroad/core/internal/clock"
	"github.com/postroad-mail/postroad/core/internal/queue"
	"github.com/postroad-mail/postroad/core/internal/store"
	"github.com/postroad-mail/postroad/core/mail"
)

// What the queue is filled with: deferred messages of one recipient, of 1 KiB,
// in a thousand domains. A second after the other is due, from an hour on.
const (
	growthBody     = 1 << 10
	growthDomains  = 1000
	growthGroup    = 500 // messages in a batch while it is filled, and results in a settle
	growthSessions = 20
)

// filled is what the filling process measures, at full size: the mean of the
// probes.
type filled struct {
	Enqueue, EnqueueCPU time.Duration // a message, 20 sessions at once
	LeaseFresh, Lease   time.Duration // a message in memory, one read from disk
	Settle              time.Duration // a result, in groups
	ListDomain, ListAll time.Duration // a list of one domain; the first hundred of all
}

// grown is a queue that is being filled. Its clock stands still, so that nothing
// is due by accident.
type grown struct {
	store  *store.Store
	queue  *queue.Queue
	clock  *clock.Fake
	serial atomic.Int64
}

func growthStart() time.Time { return time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC) }

func openGrown(dir string) (*grown, error) {
	g := &grown{clock: clock.NewFake(growthStart())}
	var err error
	if g.store, err = store.Open(store.Options{Dir: dir}); err != nil {
		return nil, err
	}
	g.queue, err = queue.Open(queue.Options{Store: g.store, Clock: g.clock})
	return g, err
}

// growProcess fills a queue, measures, prints, and ends as a crash does.
func growProcess(ctx context.Context, args []string, _ io.Reader, out io.Writer) error {
	if len(args) != 3 {
		return errors.New("grow RECIPIENTS PROBES DIR")
	}
	n, err := strconv.Atoi(args[0])
	probes, perr := strconv.Atoi(args[1])
	if err = errors.Join(err, perr); err != nil {
		return err
	}
	g, err := openGrown(args[2])
	if err != nil {
		return err
	}
	if err := g.fill(ctx, max(n, probes)); err != nil {
		return err
	}
	f, err := g.probe(ctx, probes)
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(f)
}

func (g *grown) message() *queue.Message {
	i := g.serial.Add(1)
	to := mail.Address(fmt.Sprintf("user%d@domain%d.example", i, i%growthDomains))
	env := &mail.Envelope{ID: fmt.Sprintf("01%024d", i), Sender: "sender@here.example", Received: growthStart(), Tenant: fmt.Sprint("tenant", i%50),
		Recipients: []mail.Recipient{{Address: to, Original: to}}}
	return &queue.Message{Envelope: env, Header: []byte("Subject: growth\r\n\r\n"), Body: mail.BytesBody(make([]byte, growthBody))}
}

// fill queues messages and defers each once.
func (g *grown) fill(ctx context.Context, n int) error {
	for done := 0; done < n; done += growthGroup {
		var ms []*queue.Message
		for range min(growthGroup, n-done) {
			ms = append(ms, g.message())
		}
		if err := g.queue.Enqueue(ctx, ms...); err != nil {
			return err
		}
		if _, err := g.deferAll(ctx, done); err != nil {
			return err
		}
	}
	return nil
}

// deferAll defers what is due, message number from by that many seconds and an
// hour, and returns the time that one result takes.
func (g *grown) deferAll(ctx context.Context, from int) (each time.Duration, err error) {
	var spent time.Duration
	for n := 0; ; {
		leases := g.queue.Due(g.clock.Now(), growthGroup)
		if len(leases) == 0 {
			return spent / time.Duration(max(n, 1)), nil
		}
		took, err := g.deferred(ctx, leases, from+n)
		if err != nil {
			return 0, err
		}
		spent, n = spent+took, n+len(leases)
	}
}

func (g *grown) deferred(ctx context.Context, leases []queue.Lease, from int) (time.Duration, error) {
	rs := make([]queue.Result, len(leases))
	for i, l := range leases {
		next := g.clock.Now().Add(time.Hour + time.Duration(from+i)*time.Second)
		rs[i] = queue.Result{Message: l.Message.ID(), Outcomes: []queue.Settled{{Next: next,
			Outcome: mail.Outcome{Reply: mail.Reply{Code: 451, Enhanced: mail.Enhanced{4, 7, 1}, Text: "try again later"}, NextHop: "mx.domain.example", Remote: true}}}}
	}
	begin := time.Now()
	err := g.queue.Settle(ctx, rs...)
	return time.Since(begin), err
}

// probe measures at full size.
func (g *grown) probe(ctx context.Context, n int) (f filled, err error) {
	g.calm()
	runtime.GC() // of the filling
	if f.Enqueue, f.EnqueueCPU, err = g.enqueue(ctx, n); err != nil {
		return f, err
	}
	f.LeaseFresh = g.leases(n)
	if _, err := g.deferAll(ctx, 0); err != nil {
		return f, err
	}
	g.clock.Advance(time.Hour + time.Duration(n)*time.Second)
	f.Lease = g.leases(n)
	if f.Settle, err = g.deferAll(ctx, 0); err != nil {
		return f, err
	}
	if f.ListDomain, err = g.list(ctx, queue.Filter{RecipientDomain: "domain7.example", Limit: 1000}); err != nil {
		return f, err
	}
	f.ListAll, err = g.list(ctx, queue.Filter{Limit: 100})
	return f, err
}

func (g *grown) list(ctx context.Context, f queue.Filter) (time.Duration, error) {
	begin := time.Now()
	_, err := g.queue.List(ctx, f)
	return time.Since(begin), err
}

// calm waits until the database has put in order what the filling wrote far
// faster than mail comes: its work would be counted as that of the probes.
func (g *grown) calm() {
	for quiet, tries := 0, 0; quiet < 5 && tries < 600; tries++ {
		time.Sleep(100 * time.Millisecond)
		if m := g.store.Pebble().Metrics(); m.Compact.NumInProgress == 0 && m.Flush.NumInProgress == 0 {
			quiet++
		} else {
			quiet = 0
		}
	}
}

// enqueue has sessions queue n messages, each with a batch and a sync that it
// shares with others, as after DATA.
func (g *grown) enqueue(ctx context.Context, n int) (each, cpu time.Duration, err error) {
	var wg sync.WaitGroup
	errs := make(chan error, growthSessions)
	begin, used := time.Now(), cpuTime(os.Getpid())
	for s := range growthSessions {
		wg.Go(func() {
			for i := s; i < n; i += growthSessions {
				if err := g.queue.Enqueue(ctx, g.message()); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	wg.Wait()
	close(errs)
	return time.Since(begin) / time.Duration(n), (cpuTime(os.Getpid()) - used) / time.Duration(n), <-errs
}

// leases leases up to n messages in groups, and gives them back.
func (g *grown) leases(n int) time.Duration {
	var all []queue.Lease
	begin := time.Now()
	for len(all) < n {
		leases := g.queue.Due(g.clock.Now(), min(100, n-len(all)))
		if len(leases) == 0 {
			break
		}
		all = append(all, leases...)
	}
	spent := time.Since(begin) / time.Duration(max(len(all), 1))
	for _, l := range all {
		g.queue.Return(l.Message.ID(), l.Recipients)
	}
	return spent
}
