// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"os"
	"os/exec"
	"runtime"
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

// fileSystem returns the type of the file system that dir is on, by the mount
// with the longest path above it (proc_pid_mountinfo(5)).
func fileSystem(dir string) (kind string) {
	longest := 0
	for line := range strings.Lines(word("/proc/self/mountinfo")) {
		left, right, _ := strings.Cut(line, " - ")
		fields, types := strings.Fields(left), strings.Fields(right)
		if len(fields) < 5 || len(types) < 1 {
			continue
		}
		if at := fields[4]; len(at) >= longest && strings.HasPrefix(dir+"/", strings.TrimSuffix(at, "/")+"/") {
			longest, kind = len(at), types[0]
		}
	}
	return kind
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
