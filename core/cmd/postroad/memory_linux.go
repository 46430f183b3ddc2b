// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// dropProgram takes the program's code and constants out of the process's
// memory. What is needed again is mapped again from the page cache, without a
// read of the disk. That it could not is no fault.
func dropProgram() {
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		return
	}
	defer f.Close()
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	for _, m := range programMappings(f, exe) {
		syscall.Syscall(syscall.SYS_MADVISE, m.from, m.to-m.from, syscall.MADV_DONTNEED) //nolint:errcheck // see above
	}
}

// mapping is a range of addresses.
type mapping struct{ from, to uintptr }

// programMappings reads smaps (proc_pid_smaps(5)) and returns the mappings of
// the file exe that are what the file holds: they cannot be written, and nobody
// did, neither a linker nor a debugger.
func programMappings(smaps io.Reader, exe string) (all []mapping) {
	ours := false
	for lines := bufio.NewScanner(smaps); lines.Scan(); {
		line := lines.Text()
		if m, perm, path, ok := mappingLine(line); ok {
			if ours = path == exe && perm[1] == '-'; ours {
				all = append(all, m)
			}
			continue
		}
		name, size, _ := strings.Cut(line, ":")
		if ours && (name == "Anonymous" || name == "Swap") && strings.TrimSpace(size) != "0 kB" {
			all, ours = all[:len(all)-1], false
		}
	}
	return all
}

// mappingLine reads the first line of a mapping: "from-to rwxp offset device
// inode path", the addresses in hexadecimal digits.
func mappingLine(line string) (m mapping, perm, path string, ok bool) {
	f := strings.Fields(line)
	if len(f) < 6 || len(f[1]) != 4 {
		return m, "", "", false
	}
	from, to, _ := strings.Cut(f[0], "-")
	a, err1 := strconv.ParseUint(from, 16, strconv.IntSize)
	b, err2 := strconv.ParseUint(to, 16, strconv.IntSize)
	if err1 != nil || err2 != nil || a >= b {
		return m, "", "", false
	}
	return mapping{uintptr(a), uintptr(b)}, f[1], strings.Join(f[5:], " "), true
}
