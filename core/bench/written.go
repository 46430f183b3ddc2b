// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// written returns the octets that the processes and all that descends from them,
// with those that ended and were waited for, had sent to the disk: pages that
// they made dirty, without those that were given up before they got there
// (proc_pid_io(5): write_bytes, cancelled_write_bytes).
func written(roots ...int) (sum float64) {
	for _, s := range tree(roots...) {
		text, _ := os.ReadFile("/proc/" + strconv.Itoa(s.pid) + "/io") // empty when it has ended
		for line := range bytes.Lines(text) {
			name, value, _ := strings.Cut(strings.TrimSpace(string(line)), ": ")
			n, _ := strconv.ParseFloat(value, 64)
			switch name {
			case "write_bytes":
				sum += n
			case "cancelled_write_bytes":
				sum -= n
			}
		}
	}
	return sum
}

// deviceWritten returns the octets that the device below the folder was told to
// write, by whomever, the journal of the file system with them; NaN when it is
// no block device of its own (sysfs-block: stat, field 7 in units of 512).
func deviceWritten(dir string) float64 {
	id, ok := deviceOf(dir)
	if !ok {
		return math.NaN()
	}
	text, err := os.ReadFile(filepath.Join("/sys/dev/block", id, "stat"))
	fields := strings.Fields(string(text))
	if err != nil || len(fields) < 7 {
		return math.NaN()
	}
	n, err := strconv.ParseFloat(fields[6], 64)
	if err != nil {
		return math.NaN()
	}
	return n * 512
}

// deviceOf returns the numbers MAJOR:MINOR of the device below the mount that
// dir is on.
func deviceOf(dir string) (id string, ok bool) {
	fields := mountOf(dir)
	if fields == nil {
		return "", false
	}
	return fields[2], true
}
