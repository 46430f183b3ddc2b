// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of times in /proc: Linux shows them in hundredths of a
// second on every machine that Go runs on.
const tick = 10 * time.Millisecond

// stat is a line of /proc/PID/stat: its own time and that of children that have
// ended and were waited for.
type stat struct {
	pid, parent int
	ticks       int64
}

// cpuTime returns the CPU time that the processes and all that descend from
// them have used. Where there is no /proc it is 0.
func cpuTime(roots ...int) time.Duration {
	var sum int64
	for _, s := range tree(roots...) {
		sum += s.ticks
	}
	return time.Duration(sum) * tick
}

// memory returns the proportional set size of the processes and of all that
// descend from them, in octets: shared pages count once. own is the anonymous
// part of it: the rest are mapped pages of files, programs above all, which the
// page cache holds.
func memory(roots ...int) (all, own int64) {
	for _, s := range tree(roots...) {
		a, o := pss(s.pid)
		all, own = all+a, own+o
	}
	return all, own
}

// tree returns the processes and their living descendants.
func tree(roots ...int) []stat {
	files, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is well formed
	children := map[int][]stat{}
	var found []stat
	for _, f := range files {
		s, ok := readStat(f)
		if !ok {
			continue // it has ended meanwhile
		}
		children[s.parent] = append(children[s.parent], s)
		for _, r := range roots {
			if s.pid == r {
				found = append(found, s)
			}
		}
	}
	for i := 0; i < len(found); i++ {
		found = append(found, children[found[i].pid]...)
	}
	return found
}

// readStat reads pid (field 1), parent (4) and utime, stime, cutime, cstime (14
// to 17) of proc_pid_stat(5).
func readStat(file string) (stat, bool) {
	text, err := os.ReadFile(file)
	end := bytes.LastIndexByte(text, ')') // field 2 is a name that may hold anything
	if err != nil || end < 0 {
		return stat{}, false
	}
	pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
	fields := strings.Fields(string(text[end+1:])) // begins with field 3
	if err != nil || len(fields) < 15 {
		return stat{}, false
	}
	s := stat{pid: pid}
	s.parent, _ = strconv.Atoi(fields[1])
	for _, f := range fields[11:15] {
		n, _ := strconv.ParseInt(f, 10, 64)
		s.ticks += n
	}
	return s, true
}

func pss(pid int) (all, own int64) {
	text, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/smaps_rollup") // empty when it has ended
	for line := range strings.Lines(string(text)) {
		name, rest, _ := strings.Cut(line, ":")
		fields := strings.Fields(rest)
		if len(fields) == 0 {
			continue
		}
		kib, _ := strconv.ParseInt(fields[0], 10, 64)
		switch name {
		case "Pss":
			all = kib << 10
		case "Pss_Anon":
			own = kib << 10
		}
	}
	return all, own
}

// busyTime returns the CPU time of the whole machine that was neither idle nor
// waiting for the disk.
func busyTime() time.Duration {
	text, _ := os.ReadFile("/proc/stat")
	line, _, _ := strings.Cut(string(text), "\n")
	fields := strings.Fields(line)
	if len(fields) < 8 {
		return 0
	}
	var sum int64
	for _, i := range []int{1, 2, 3, 6, 7} { // user, nice, system, irq, softirq
		n, _ := strconv.ParseInt(fields[i], 10, 64)
		sum += n
	}
	return time.Duration(sum) * tick
}

// diskUse returns the octets that the files below dir hold.
func diskUse(dir string) (sum int64) {
	_ = filepath.WalkDir(dir, func(_ string, e os.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return nil // files of a running server come and go
		}
		if info, err := e.Info(); err == nil {
			sum += blocks(info)
		}
		return nil
	})
	return sum
}
