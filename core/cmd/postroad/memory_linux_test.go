// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"slices"
	"strings"
	"testing"
)

const smapsSample = `00400000-00402000 r--p 00000000 fe:00 1371814                           /opt/post road
Size:                  8 kB
Anonymous:             0 kB
Swap:                  0 kB
00402000-01263000 r-xp 00002000 fe:00 1371814                           /opt/post road
Anonymous:             4 kB
01263000-0212a000 r--p 00e63000 fe:00 1371814                           /opt/post road
Anonymous:             0 kB
Swap:                  8 kB
0212a000-0212b000 r--p 01d2a000 fe:00 1371814                           /opt/post road
Anonymous:             0 kB
VmFlags: rd mr mw me
0212b000-022f2000 rw-p 01d2b000 fe:00 1371814                           /opt/post road
Anonymous:             0 kB
7f0000000000-7f0000001000 r-xp 00000000 fe:00 1                          /lib/x86_64-linux-gnu/libc.so.6
Anonymous:             0 kB
7f0000001000-7f0000002000 r-xp 00000000 00:00 0
Anonymous:             0 kB
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]
`

// TestOnlyWhatTheFileHoldsIsDropped: neither what was written to, by whom ever,
// nor the mappings of anything else.
func TestOnlyWhatTheFileHoldsIsDropped(t *testing.T) {
	got := programMappings(strings.NewReader(smapsSample), "/opt/post road")
	if want := []mapping{{0x400000, 0x402000}, {0x212a000, 0x212b000}}; !slices.Equal(got, want) {
		t.Errorf("%#x, want %#x", got, want)
	}
}

func TestTheProgramFindsItself(t *testing.T) {
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	if all := programMappings(f, exe); len(all) == 0 {
		t.Error("no mapping of the program was found")
	}
}

func FuzzProgramMappings(f *testing.F) {
	f.Add(smapsSample, "/opt/post road")
	f.Add("0-1 r-xp 0 0 0 a\nSwap: 1 kB\nAnonymous: 1 kB\n", "a")
	f.Fuzz(func(t *testing.T, smaps, exe string) {
		for _, m := range programMappings(strings.NewReader(smaps), exe) {
			if m.from >= m.to {
				t.Errorf("a mapping from %#x to %#x", m.from, m.to)
			}
		}
	})
}
