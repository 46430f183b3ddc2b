// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/postroad-mail/postroad/core/internal/config"
	"github.com/postroad-mail/postroad/core/internal/queue"
)

// Reload reads the configuration again. It is built whole and swapped in at
// once; after any fault the old one stays as it was, and the error tells why.
// Transactions that have begun end with the configuration that they began with.
// A listener that moved is bound to its new address before the old one closes.
// What cannot change while the relay runs is refused: the data directory, the
// host name, the admin address, the resolver, the log, the memory of all plugins and the engine of a store.
func (r *Relay) Reload(ctx context.Context) error {
	r.loadMu.Lock()
	defer r.loadMu.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(r.ending, cancel)()
	code := r.src.begin()
	c, err := r.load(ctx, code) // may wait for a registry, and nobody waits for it
	if err != nil && r.ending.Err() == nil {
		return err
	}
	return r.swap(ctx, c, code)
}

// ReloadOrLog is Reload for a signal, for whose error nobody waits: the log has
// it.
func (r *Relay) ReloadOrLog(ctx context.Context) {
	if err := r.Reload(ctx); err != nil {
		r.log.Error("reload refused, the old configuration stays", "file", configName(r.o), "error", strings.TrimRight(err.Error(), "\n"))
	}
}

// swap makes the loaded configuration live.
func (r *Relay) swap(ctx context.Context, c *config.Config, code *loading) error {
	r.reloadMu.Lock()
	defer r.reloadMu.Unlock()
	if r.stopped || r.ending.Err() != nil {
		return errors.New("the relay is going down")
	}
	old := r.gen.Load()
	if err := fixed(old.config, c); err != nil {
		return &kinded{ErrConfig, err}
	}
	g, err := build(ctx, c, code, r.parts())
	if err != nil {
		return &kinded{ErrConfig, err}
	}
	doors, err := r.newDoors(c)
	if err != nil {
		return errors.Join(unavailable(err), g.close())
	}
	g.goesLive()
	r.gen.Store(g)
	r.rollouts.adopt(g.rollouts, c)
	r.captures.adopt(c)
	if r.ticks.Load() != nil {
		r.retick()
	}
	r.swapDoors(doors)
	for _, d := range doors {
		d.server.Nudge() // sessions that go on must not keep the old generation
	}
	if e := r.engine.Load(); e != nil {
		e.sched.Reload()
	}
	old.end()
	r.breakers.Keep(g.breakers)
	r.warnRoutes(old.config, g)
	g.warn(r.log)
	code.end(g, r.log)
	r.log.Info("configuration reloaded", "file", c.File)
	return nil
}

// fixed refuses what a reload may not change.
func fixed(old, c *config.Config) error {
	var faults config.Diagnostics
	refuse := func(changed bool, at config.Pos, what string) {
		if changed {
			faults = append(faults, at.Fault(what+" cannot change while the relay runs", "restart it, or leave that as it was"))
		}
	}
	is := func(what, was string) string { return fmt.Sprintf("%s (it is %s)", what, was) }
	a, b := &old.Server, &c.Server
	refuse(a.DataDir != b.DataDir, c.ArgPos("data_dir", "server"), is("data_dir", a.DataDir))
	refuse(a.Hostname != b.Hostname, c.ArgPos("hostname", "server"), is("hostname", a.Hostname))
	refuse(a.PluginMemory != b.PluginMemory, c.ArgPos("plugin_memory", "server"), "plugin_memory")
	refuse(a.LogFormat != b.LogFormat, c.ArgPos("format", "server", "log"), is("the format of the log", a.LogFormat))
	refuse(a.LogLevel != b.LogLevel, c.ArgPos("level", "server", "log"), is("the level of the log", a.LogLevel))
	refuse(old.Admin != c.Admin, c.ArgPos("address", "admin"), is("the admin address", strconv.Quote(old.Admin.Address)))
	refuse(!slices.Equal(old.Resolver.Servers, c.Resolver.Servers), c.ArgPos("servers", "resolver"), is("the list of the resolver's servers", "["+strings.Join(old.Resolver.Servers, ", ")+"]"))
	engines := map[string]string{}
	for _, s := range old.Stores {
		engines[s.Name] = s.Engine
	}
	for _, s := range c.Stores {
		was, ok := engines[s.Name]
		refuse(ok && was != s.Engine, c.ArgPos("engine", "store "+s.Name), is(fmt.Sprintf("the engine of store %q", s.Name), was))
	}
	if len(faults) > 0 {
		return faults
	}
	return nil
}

// newDoors returns the servers of all listeners of c. One whose listener is the
// same to clients goes on, with its sessions; the others are new, on the sockets
// that are open where the address is the same, else on new ones. After an error
// it has closed what it opened.
func (r *Relay) newDoors(c *config.Config) (map[string]*listening, error) {
	doors := map[string]*listening{}
	for i := range c.Listeners {
		l := &c.Listeners[i]
		if len(l.Addresses) == 0 {
			continue
		}
		if d := r.doors[l.Name]; d != nil && d.serves(l) {
			doors[l.Name] = d
			continue
		}
		d, err := r.newDoor(l, c)
		if err != nil {
			r.closeNew(doors)
			return nil, err
		}
		doors[l.Name] = d
	}
	return doors, nil
}

// closeNew closes the sockets that no live listener has.
func (r *Relay) closeNew(doors map[string]*listening) {
	closeOthers(doors, socketsOf(r.doors))
}

func socketsOf(doors map[string]*listening) map[*socket]bool {
	all := map[*socket]bool{}
	for _, d := range doors {
		for _, s := range d.sockets {
			all[s] = true
		}
	}
	return all
}

func closeOthers(doors map[string]*listening, kept map[*socket]bool) {
	for _, d := range doors {
		d.closeBut(kept)
	}
}

// closeBut closes the sockets that are not kept.
func (d *listening) closeBut(kept map[*socket]bool) {
	for _, s := range d.sockets {
		if !kept[s] {
			s.Close()
		}
	}
}

// swapDoors lets the new servers take all connections from now on, or from Run on
// when the relay does not run yet. The old ones drain beside them.
func (r *Relay) swapDoors(doors map[string]*listening) {
	kept := socketsOf(doors)
	old := r.doors
	r.doors = doors
	for name, d := range old {
		if doors[name] != d {
			d.replaced(r, kept)
		}
	}
	for _, name := range sortedNames(doors) {
		if doors[name] != old[name] && r.ticks.Load() != nil {
			doors[name].serve()
		}
	}
}

// replaced ends a server that another one, or none, has taken the place of.
func (d *listening) replaced(r *Relay, kept map[*socket]bool) {
	d.leave()
	d.closeBut(kept)
	if d.ended != nil {
		d.drainBeside(r)
	}
}

// drainBeside ends a replaced server in the background, as long as its sessions
// take.
func (d *listening) drainBeside(r *Relay) {
	r.draining.Add(1)
	go func() {
		defer r.draining.Done()
		ctx, cancel := context.WithTimeout(context.Background(), d.conf.Limits.TransactionTime)
		defer cancel()
		stop := context.AfterFunc(r.stopping, cancel)
		defer stop()
		if err := d.stop(ctx); err != nil {
			r.log.Warn("sessions of the old configuration were cut", "listener", d.conf.Name, "error", err)
		}
	}()
}

// warnRoute counts the mail. A reload does not wait until the queue was read.
func (r *Relay) warnRoute(e *engine, name string) {
	if n, reading := e.queue.Reading(); reading {
		r.log.Warn("a route is no longer there; queued mail that names it waits until the route is back or it expires", "route", name, "read_so_far", n)
		return
	}
	sums, err := e.queue.List(context.Background(), queue.Filter{Route: name, Limit: 1 << 20})
	if n := len(sums); n > 0 || err != nil {
		r.log.Warn("queued mail names a route that is no longer there; it waits until the route is back or it expires", "route", name, "messages", n, "error", err)
	}
}

// warnRoutes tells of routes that c no longer has but queued mail names.
func (r *Relay) warnRoutes(old *config.Config, g *generation) {
	e := r.engine.Load()
	if e == nil {
		return
	}
	for i := range old.Routes {
		name := old.Routes[i].Name
		if _, ok := g.routing.routes[name]; ok {
			continue
		}
		r.warnRoute(e, name)
	}
}
