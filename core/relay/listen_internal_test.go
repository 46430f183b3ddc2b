// SPDX-License-Identifier: Apache-2.0

package relay

import "testing"

// Clients that only connect must not use up the files that the store needs.
func TestConnectionsLeaveFilesForTheStore(t *testing.T) {
	for _, c := range []struct {
		wanted, listeners int
		files             uint64
		want              int
	}{
		{2000, 1, 0, 2000},
		{2000, 1, 20_000, 2000},
		{2000, 1, 1024, 341},
		{2000, 2, 1024, 170},
		{100, 1, 1024, 100},
		{2000, 1, 2, 1},
		{2000, 1, 1<<64 - 1, 2000},
	} {
		if got := affordable(c.wanted, c.listeners, c.files); got != c.want {
			t.Errorf("%d wanted, %d listeners, %d files: %d, want %d", c.wanted, c.listeners, c.files, got, c.want)
		}
	}
}
