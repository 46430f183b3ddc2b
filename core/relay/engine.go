// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"sync"
	"time"

	"github.com/postroad-mail/postroad/core/internal/config"
	"github.com/postroad-mail/postroad/core/internal/delivery"
	"github.com/postroad-mail/postroad/core/internal/kv"
	"github.com/postroad-mail/postroad/core/internal/queue"
	"github.com/postroad-mail/postroad/core/internal/report"
	"github.com/postroad-mail/postroad/core/internal/resolver"
	"github.com/postroad-mail/postroad/core/internal/store"
	"github.com/postroad-mail/postroad/core/internal/transport/maildir"
	"github.com/postroad-mail/postroad/core/internal/transport/smtp"
	"github.com/postroad-mail/postroad/core/mail"
)

// engine is what stands on the data directory: store, queue, key-value stores
// and delivery. After a fault of the disk it is closed whole and opened again.
type engine struct {
	store  *store.Store
	queue  *queue.Queue
	stores *kv.Stores
	sched  *delivery.Scheduler
	ended  chan struct{} // closed when the scheduler's Run is over; nil until started

	pausing sync.Mutex // held while delivery is paused or resumed
}

func (r *Relay) openEngine(c *config.Config) (_ *engine, err error) {
	e := &engine{}
	defer func() {
		if err != nil {
			err = errors.Join(err, e.closeDisk())
		}
	}()
	o := store.Options{Dir: c.Server.DataDir, Logger: r.log.Named("store"), OnStall: func(bool) { e.follow() }}
	if r.o.InMemory {
		o.FS = store.Memory()
	}
	if r.o.disk != nil {
		r.o.disk(&o)
	}
	if e.store, err = store.Open(o); err != nil {
		return e, diskKind(err)
	}
	e.queue, err = queue.Open(queue.Options{Store: e.store, Clock: r.clock, Logger: r.log.Named("queue"), Observer: queueObserver{r}})
	if err != nil {
		return e, diskKind(err)
	}
	e.stores = kv.NewStores(kv.Config{Clock: r.clock, Logger: r.log.Named("kv"), Range: func(name string) kv.Engine {
		return e.store.Range("k" + name + "\x00")
	}})
	sched := delivery.New(r.deliveryOptions(c, e))
	e.pausing.Lock()
	e.sched = sched
	e.pausing.Unlock()
	e.follow()
	return e, nil
}

// follow has delivery wait while the disk does not answer.
func (e *engine) follow() {
	e.pausing.Lock()
	defer e.pausing.Unlock()
	switch {
	case e.sched == nil: // openEngine asks again
	case e.store.Stalled():
		e.sched.Pause("the disk does not answer, and no outcome could be noted")
	default:
		e.sched.Resume()
	}
}

// diskKind tells a directory that another process holds from a bad disk.
func diskKind(err error) error {
	if errors.Is(err, store.ErrLocked) {
		return &kinded{ErrUnavailable, err}
	}
	return &kinded{ErrDisk, err}
}

func (r *Relay) deliveryOptions(c *config.Config, e *engine) delivery.Options {
	log := r.log.Named("delivery")
	hang := time.Duration(0) // delivery's own default
	if r.o.Clock != nil {
		hang = math.MaxInt64 // attempts take real time, of which that clock knows nothing
	}
	return delivery.Options{
		Queue: deliveryQueue{e.queue},
		Routes: func(name string) (*delivery.Route, bool) {
			route, ok := r.gen.Load().routing.routes[name]
			return route, ok
		},
		RouteOf:    func(rcpt mail.Recipient) string { return r.gen.Load().routing.routeOf(rcpt) },
		ProviderOf: func(hosts []string) *delivery.Provider { return r.gen.Load().routing.providerOf(hosts) },
		Resolver:   deliveryResolver{r.dns},
		SMTP:       deliverySMTP{smtp.New(smtp.Options{Hostname: c.Server.Hostname, Logger: log, Dial: r.o.Dial, Convert: r.recoded, Now: r.clock.Now})},
		Maildir:    deliveryMaildir{r, maildir.New(maildir.Options{Hostname: c.Server.Hostname, Clock: r.clock})},
		Suspended:  e.suspendedBy,
		Reporter:   reporter{r}, Hooks: deliveryHooks{r}, AttemptLimit: hang,
		Clock: r.clock, Logger: log, Observer: deliveryObserver{r}, Hostname: c.Server.Hostname,
	}
}

func (r *Relay) resolver(c *config.Config) (Resolver, error) {
	if r.o.Resolver != nil {
		return r.o.Resolver, nil
	}
	d, err := resolver.New(resolver.Options{Servers: c.Resolver.Servers, Clock: r.clock, Logger: r.log.Named("dns")})
	if err != nil {
		return nil, &kinded{ErrConfig, err}
	}
	return dns{d}, nil
}

// start runs delivery until stop.
func (e *engine) start(ctx context.Context) {
	e.ended = make(chan struct{})
	go func() {
		defer close(e.ended)
		e.sched.Run(ctx) //nolint:errcheck // its error is that of ctx
	}()
}

// stop ends delivery, within ctx, and closes everything.
func (e *engine) stop(ctx context.Context) error {
	var errs []error
	if e.ended != nil {
		errs = append(errs, e.sched.Shutdown(ctx))
		<-e.ended
	}
	return errors.Join(append(errs, e.closeDisk())...)
}

func (e *engine) closeDisk() error {
	var errs []error
	if e.stores != nil {
		e.stores.Close()
	}
	if e.queue != nil {
		errs = append(errs, e.queue.Close())
	}
	if e.store != nil {
		errs = append(errs, e.store.Close())
	}
	return errors.Join(errs...)
}

func (r *Relay) cacheDir(c *config.Config) string {
	if r.o.InMemory {
		return ""
	}
	return filepath.Join(c.Server.DataDir, "cache")
}

// reporter writes reports to senders.
type reporter struct{ r *Relay }

// Report implements delivery.Reporter.
func (p reporter) Report(a *delivery.Account) (*delivery.Report, error) {
	m, err := p.r.dsn(&report.Input{Envelope: a.Envelope, Header: a.Header, Body: a.Body, Told: a.Told, Added: a.Added})
	if m == nil || err != nil {
		return nil, err
	}
	return &delivery.Report{Envelope: m.Envelope, Header: m.Header, Body: m.Body.(mail.BytesBody)}, nil
}

// dsn returns the report that in asks for, to be queued, and nil when the sender
// is null, for a report is never reported on (RFC 5321 §6.1), or when a stage
// wants none. It has no id yet.
func (r *Relay) dsn(in *report.Input) (*queue.Message, error) {
	if in.Envelope.Sender.IsNull() || in.Envelope.NoDSN {
		return nil, nil
	}
	in.Hostname, in.Now = r.gen.Load().config.Server.Hostname, r.clock.Now()
	e, head, body, err := report.BuildDSN(*in)
	if err != nil {
		return nil, fmt.Errorf("report on %s: %w", in.Envelope.ID, err)
	}
	return &queue.Message{Envelope: e, Header: head, Body: mail.BytesBody(body)}, nil
}
