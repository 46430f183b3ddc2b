// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"context"
	"errors"
	"time"
)

// Run serves mail until ctx is done and then drains: listeners close, running
// transactions and attempts end within server.drain_timeout, what is queued
// stays queued. It returns nil after an orderly end. After a fault of the disk
// it opens the data directory once more; a second fault ends it with an error
// that is ErrDisk. Run is called once, and closes the relay.
func (r *Relay) Run(ctx context.Context) error {
	r.start()
	err := r.watch(ctx)
	return errors.Join(err, r.shutdown())
}

// start begins to deliver and to serve.
func (r *Relay) start() {
	r.reloadMu.Lock()
	defer r.reloadMu.Unlock()
	r.engine.Load().start(context.Background())
	r.metrics.WatchQueue(r.queueSize, r.reading, r.syncs)
	r.services.start()
	r.watchdog.start()
	r.retick()
	for _, name := range sortedNames(r.doors) {
		r.doors[name].serve()
		r.log.Info("listening", "listener", name, "address", r.doors[name].shown())
	}
}

// watch waits for the end, and for a fault of the disk before it.
func (r *Relay) watch(ctx context.Context) error {
	for reopened := false; ; reopened = true {
		e := r.engine.Load()
		select {
		case <-ctx.Done():
			return nil
		case <-e.store.Failed():
		}
		fault := e.store.Healthy()
		r.log.Error("the disk has failed; no mail is taken", "error", fault)
		if reopened {
			return &kinded{ErrDisk, fault}
		}
		if err := r.reopen(e); err != nil {
			return &kinded{ErrDisk, errors.Join(fault, err)}
		}
		r.log.Warn("the data directory was opened again after a fault")
	}
}

// reopen replaces the engine. Meanwhile clients get 451.
func (r *Relay) reopen(old *engine) error {
	r.reloadMu.Lock()
	defer r.reloadMu.Unlock()
	r.engine.Store(nil)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	old.stop(ctx) //nolint:errcheck // it has failed; what counts is the new one
	e, err := r.openEngine(r.gen.Load().config)
	if err != nil {
		return err
	}
	e.start(context.Background())
	r.engine.Store(e)
	return nil
}

// shutdown drains and closes everything, in the reverse order of start.
func (r *Relay) shutdown() error {
	r.endLoads()
	r.reloadMu.Lock()
	defer r.reloadMu.Unlock()
	r.stopped = true
	r.stopTicks()
	r.watchdog.end()
	ctx, cancel := context.WithTimeout(context.Background(), r.gen.Load().config.Server.DrainTimeout)
	defer cancel()
	defer context.AfterFunc(ctx, r.hurry)()
	if e := r.engine.Load(); e != nil {
		e.queue.StopReading()
	}
	r.log.Info("draining")
	r.stopDoors(ctx)
	r.draining.Wait()
	err := r.services.stop(ctx)
	return r.inTime(errors.Join(err, r.close(ctx)))
}

// inTime takes the end of drain_timeout for what it is, not for a fault: what
// was cut then stays queued, or its client comes again.
func (r *Relay) inTime(err error) error {
	joined, ok := err.(interface{ Unwrap() []error })
	switch {
	case errors.Is(err, context.DeadlineExceeded) && !ok:
		r.log.Warn("attempts or calls were cut at the end of drain_timeout", "error", err)
		return nil
	case !ok:
		return err
	}
	var rest []error
	for _, e := range joined.Unwrap() {
		rest = append(rest, r.inTime(e))
	}
	return errors.Join(rest...)
}

// stopDoors ends all sessions; those that do not end in time are cut, and their
// clients come again.
func (r *Relay) stopDoors(ctx context.Context) {
	done := make(chan struct{})
	for _, d := range r.doors {
		go func() {
			if err := d.stop(ctx); err != nil {
				r.log.Warn("sessions were cut", "listener", d.conf.Name, "error", err)
			}
			closeAll(d.sockets)
			done <- struct{}{}
		}()
	}
	for range r.doors {
		<-done
	}
}

// Close closes a relay that was opened but not run.
func (r *Relay) Close() error {
	for _, d := range r.doors {
		closeAll(d.sockets)
	}
	r.services.close()
	return r.close(context.Background())
}

func (r *Relay) close(ctx context.Context) error {
	var errs []error
	r.hurry()
	r.closeAuthorities()
	r.draining.Wait()
	if e := r.engine.Load(); e != nil {
		errs = append(errs, e.stop(ctx))
	}
	if g := r.gen.Load(); g != nil {
		g.end()
		<-g.closed
	}
	r.captures.close()
	if r.outside != nil {
		r.outside.Close(ctx)
	}
	if r.host != nil {
		errs = append(errs, r.host.Close(ctx))
	}
	return errors.Join(errs...)
}
