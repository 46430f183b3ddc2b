// SPDX-License-Identifier: Apache-2.0

package wasmhost

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"

	"github.com/tetratelabs/wazero/api"
)

// image is what an instance was when it had started: what isolation "restore"
// puts back after each call, so that nothing of a message stays. Tables and
// segments are not in it; a module that changes those is refused.
type image struct {
	memory  []byte
	globals []api.MutableGlobal
	values  []uint64 // of globals

	stores, buckets int // handles that pr_init asked for
}

// checkRestorable refuses a module of which an image would not be everything.
func (c *code) checkRestorable() error {
	if c.tied == "" {
		return nil
	}
	return fmt.Errorf("it cannot be restored, for it has %s; set isolation = %q in its plugin block instead", c.tied, IsolationFresh)
}

// takeImage keeps what i is now.
func (i *instance) takeImage() error {
	m := &image{stores: len(i.stores), buckets: len(i.buckets)}
	if err := i.memory.pay(uint64(len(i.memory.buf))); err != nil {
		return &Fault{Stage: i.stage.name, Cause: CausePool, Detail: err.Error()}
	}
	m.memory = bytes.Clone(i.memory.buf)
	for n := 0; n < i.stage.code.globals; n++ {
		g, ok := i.mod.ExportedGlobal(globalPrefix + strconv.Itoa(n)).(api.MutableGlobal)
		if !ok {
			return errors.New("module lost its globals")
		}
		m.globals, m.values = append(m.globals, g), append(m.values, g.Get())
	}
	i.image = m
	return nil
}

// restore makes i what it was when it had started. It reports false when that
// cannot be: its memory grew, and memory never shrinks.
func (i *instance) restore() bool {
	m := i.image
	if len(i.memory.buf) != len(m.memory) {
		return false
	}
	copy(i.memory.buf, m.memory)
	for n, g := range m.globals {
		g.Set(m.values[n])
	}
	i.stores, i.buckets = i.stores[:m.stores], i.buckets[:m.buckets]
	return true
}
