// SPDX-License-Identifier: Apache-2.0

package hostile

import (
	"runtime"
	"runtime/metrics"
	"sync"
	"time"
)

// memoryBound is what the process may take more while it is attacked than before,
// heap and stacks: the instances of the attack at their limit, the engine's stacks,
// and what the honest sessions need. core/docs/security.md names it.
const memoryBound = 256 << 20

// watchMemory looks at the process's memory until the function that it returns is
// called, which tells by how much it was above what it was at first.
func watchMemory() (grown func() int64) {
	runtime.GC()
	first := inUse()
	over := make(chan struct{})
	var most int64
	var done sync.WaitGroup
	done.Go(func() {
		t := time.NewTicker(5 * time.Millisecond)
		defer t.Stop()
		for {
			most = max(most, inUse())
			select {
			case <-t.C:
			case <-over:
				return
			}
		}
	})
	return func() int64 {
		close(over)
		done.Wait()
		return most - first
	}
}

// inUse is heap and stacks, garbage that is not collected yet with them.
func inUse() int64 {
	s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}}
	metrics.Read(s)
	return int64(s[0].Value.Uint64() + s[1].Value.Uint64())
}
