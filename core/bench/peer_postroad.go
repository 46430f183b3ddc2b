// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// postroad starts the real binary with a configuration of the module, as a user
// runs it.
type postroad struct {
	binary, repo string
	env          []string // more for its configuration
}

func (p postroad) starter(config string) func(context.Context, place) (*server, error) {
	return func(ctx context.Context, at place) (*server, error) { return p.start(ctx, at, config) }
}

func (p postroad) start(ctx context.Context, at place, config string) (*server, error) {
	addr, err := freeAddress()
	if err != nil {
		return nil, err
	}
	admin, err := freeAddress()
	if err != nil {
		return nil, err
	}
	env := []string{"POSTROAD_LISTEN=" + addr, "POSTROAD_ADMIN=" + admin, "POSTROAD_SMARTHOST=" + at.nextHop,
		"POSTROAD_DATA=" + filepath.Join(at.dir, "data"), "POSTROAD_HOSTNAME=postroad.example", "POSTROAD_RETRY=5m"}
	env = append(env, p.env...)
	run, err := startServer("postroad", filepath.Join(at.dir, "log"), env, p.binary, "run", "-c", filepath.Join(p.repo, config))
	if err != nil {
		return nil, err
	}
	s := &server{addr: addr, processes: []*process{run}, queued: metrics(admin).queued, syncs: metrics(admin).syncs}
	if err := waitGreeting(ctx, run, addr); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// metrics is the address at which Postroad shows its counters.
type metrics string

func (m metrics) syncs(ctx context.Context) (float64, error) {
	return m.sum(ctx, "postroad_wal_syncs_total")
}

func (m metrics) queued(ctx context.Context) (int, error) {
	n, err := m.sum(ctx, "postroad_queue_messages")
	return int(n), err
}

// sum adds up the samples of a metric.
func (m metrics) sum(ctx context.Context, name string) (sum float64, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+string(m)+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	found := false
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		if v, ok := metricSample(lines.Text(), name); ok {
			found, sum = true, sum+v
		}
	}
	if !found {
		return 0, fmt.Errorf("postroad shows no metric %s", name)
	}
	return sum, nil
}

// metricSample reads "NAME VALUE" or "NAME{LABELS} VALUE".
func metricSample(line, name string) (float64, bool) {
	rest, ok := strings.CutPrefix(line, name)
	if !ok || rest == "" || rest[0] != ' ' && rest[0] != '{' {
		return 0, false
	}
	v, err := strconv.ParseFloat(rest[strings.LastIndexByte(rest, ' ')+1:], 64)
	return v, err == nil
}

// moduleDir returns the folder of the module around the current folder.
func moduleDir(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("bench runs inside a checkout of Postroad, with Go installed: go list -m: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// buildPostroad builds the binary into dir.
func buildPostroad(ctx context.Context, repo, dir string) (string, error) {
	binary := filepath.Join(dir, "postroad")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", binary, "./core/cmd/postroad")
	cmd.Dir = repo
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building postroad: %w: %s", err, out)
	}
	return binary, nil
}
