// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"runtime/debug"
)

// garbagePercent is how much the heap may grow between two collections. What
// lives on it is about 10 MiB, and each message leaves 20 KiB behind: with Go's
// own 100 there would be several collections a second, which took a tenth of the
// CPU. It costs as much memory again as lives on the heap.
const garbagePercent = 200

// setGarbage applies garbagePercent, unless the environment says otherwise.
func setGarbage() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbagePercent)
	}
}
