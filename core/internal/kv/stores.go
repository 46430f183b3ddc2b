// SPDX-License-Identifier: Apache-2.0

package kv

import (
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

// How often expired values are looked for, and among how many keys of a store
// at a time: at least sweepKeys, and the whole store in sweepTurns.
const (
	sweepEvery = 10 * time.Second
	sweepKeys  = 1000
	sweepTurns = 30
)

// Config says what stores are built on. Range and Clock must be set.
type Config struct {
	Range  func(name string) Engine // the part of the database for the engine "pebble" of a store
	Clock  Clock
	Logger hclog.Logger // nil: none
}

// Stores holds the stores of a relay by name. It outlives configurations: a
// store that a reload declares again is the same store. It is safe for
// concurrent use.
type Stores struct {
	c Config

	run sync.Mutex // held while a sweep works; Close waits for it

	mu     sync.Mutex
	byName map[string]*opened
	stop   func() bool
	closed bool
}

// opened is a store with what a reload must not change.
type opened struct {
	store  *Store
	engine string
	cursor []byte // of the sweep
}

// NewStores returns an empty set of stores, and begins to sweep it. The caller
// closes it.
func NewStores(c Config) *Stores {
	if c.Logger == nil {
		c.Logger = hclog.NewNullLogger()
	}
	ss := &Stores{c: c, byName: make(map[string]*opened)}
	ss.arm()
	return ss
}

// Open returns the store of that name, which it makes the first time. Later
// calls change its ttl and bounds; another engine is an error.
func (ss *Stores) Open(o Options) (*Store, error) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if have := ss.byName[o.Name]; have != nil {
		if have.engine != o.Engine {
			return nil, fmt.Errorf("kv: store %s has the engine %q, which cannot become %q while it is open: give the new store another name", o.Name, have.engine, o.Engine)
		}
		have.store.configure(o)
		return have.store, nil
	}
	e, err := ss.engine(o)
	if err != nil {
		return nil, err
	}
	s, err := newStore(o, e, ss.c.Clock)
	if err == nil {
		ss.byName[o.Name] = &opened{store: s, engine: o.Engine}
	}
	return s, err
}

func (ss *Stores) engine(o Options) (Engine, error) {
	switch o.Engine {
	case "pebble":
		return ss.c.Range(o.Name), nil
	case "memory":
		return newMemory(), nil
	}
	return nil, fmt.Errorf("kv: store %s: unknown engine %q: choose \"pebble\" or \"memory\"", o.Name, o.Engine)
}

// Close ends the sweeps and waits for one that is under way. The stores can be
// used as long as their engines can.
func (ss *Stores) Close() {
	ss.mu.Lock()
	ss.closed = true
	if ss.stop != nil {
		ss.stop()
	}
	ss.mu.Unlock()
	ss.run.Lock()
	defer ss.run.Unlock()
}

func (ss *Stores) arm() {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if !ss.closed {
		ss.stop = ss.c.Clock.AfterFunc(sweepEvery, ss.sweep)
	}
}

// sweep looks at the next keys of every store.
func (ss *Stores) sweep() {
	ss.run.Lock()
	defer ss.run.Unlock()
	for _, o := range ss.all() {
		keys, _ := o.store.Len()
		o.cursor = o.store.sweep(o.cursor, max(sweepKeys, int(keys/sweepTurns)), ss.c.Logger)
	}
	ss.arm()
}

// all returns the stores, none after Close.
func (ss *Stores) all() []*opened {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	var all []*opened
	for _, o := range ss.byName {
		if !ss.closed {
			all = append(all, o)
		}
	}
	return all
}
