// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// machine is where and with what was measured.
type machine struct {
	cpu, kernel, fileSystem, goVersion, commit string
	cores                                      int
	memory                                     string
}

// describe reads what the system tells about itself; dir is where queues are.
func describe(ctx context.Context, repo, dir string) machine {
	return machine{
		cpu: field("/proc/cpuinfo", "model name"), kernel: runtime.GOOS + " " + kernel(),
		fileSystem: fileSystem(dir), goVersion: runtime.Version(), commit: commit(ctx, repo),
		cores: runtime.NumCPU(), memory: gibibytes(field("/proc/meminfo", "MemTotal")),
	}
}

// kernel returns the kernel's version without what its builder added.
func kernel() string {
	version, _, _ := strings.Cut(word("/proc/sys/kernel/osrelease"), "-")
	return version
}

func word(file string) string {
	text, _ := os.ReadFile(file) // unknown stays empty
	return strings.TrimSpace(string(text))
}

// field returns the value of the first line "NAME: VALUE".
func field(file, name string) string {
	for line := range strings.Lines(word(file)) {
		key, value, _ := strings.Cut(line, ":")
		if strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// gibibytes turns "24576000 kB" into "23 GiB".
func gibibytes(kb string) string {
	n, err := strconv.Atoi(strings.TrimSuffix(kb, " kB"))
	if err != nil {
		return ""
	}
	return strconv.Itoa((n+1<<19)>>20) + " GiB"
}

// fileSystem returns the type of the file system that dir is on.
func fileSystem(dir string) string {
	fields := mountOf(dir)
	if i := slices.Index(fields, "-"); i >= 0 && i+1 < len(fields) {
		return fields[i+1]
	}
	return ""
}

// mountOf returns the fields of the mount with the longest path above dir
// (proc_pid_mountinfo(5)), nil where there are none.
func mountOf(dir string) (found []string) {
	longest := 0
	for line := range strings.Lines(word("/proc/self/mountinfo")) {
		fields := strings.Fields(line)
		if len(fields) < 5 {
			continue
		}
		if at := fields[4]; len(at) >= longest && strings.HasPrefix(dir+"/", strings.TrimSuffix(at, "/")+"/") {
			longest, found = len(at), fields
		}
	}
	return found
}

// commit returns the short hash, with a word when files differ from it.
func commit(ctx context.Context, repo string) string {
	hash, err := git(ctx, repo, "rev-parse", "--short=10", "HEAD")
	if err != nil {
		return "unknown"
	}
	if changed, _ := git(ctx, repo, "status", "--porcelain", "--untracked-files=no"); changed != "" {
		return hash + " with changes"
	}
	return hash
}

func git(ctx context.Context, repo string, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, "git", append([]string{"-C", repo}, args...)...).Output()
	return strings.TrimSpace(string(out)), err
}
