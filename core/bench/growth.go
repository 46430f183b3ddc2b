// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"time"
)

// growth is what `bench growth` was asked for: how the queue behaves as it
// grows.
type growth struct {
	sizes  []int // queued recipients
	probes int   // messages that are measured on top of them
	out    string
	dir    string
	self   string
}

func parseGrowth(args []string, errs io.Writer) (growth, error) {
	self, err := os.Executable()
	if err != nil {
		return growth{}, err
	}
	g := growth{self: self}
	var sizes string
	f := flag.NewFlagSet("bench growth", flag.ContinueOnError)
	f.SetOutput(errs)
	f.StringVar(&sizes, "sizes", "1000,10000,100000,1000000", "queued recipients, separated by commas")
	f.IntVar(&g.probes, "n", 2000, "messages that are measured at each size; there are at least as many recipients")
	f.StringVar(&g.out, "out", "", "folder into which growth-YYYY-MM-DD.md is written")
	f.StringVar(&g.dir, "dir", os.TempDir(), "folder for the queues; its file system is what is measured")
	if err := f.Parse(args); err != nil {
		return g, err
	}
	for _, s := range list(sizes) {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			return g, fmt.Errorf("-sizes: %q is no number of recipients", s)
		}
		g.sizes = append(g.sizes, n)
	}
	if len(g.sizes) == 0 || g.probes < 1 || f.NArg() > 0 {
		return g, errors.New("-sizes and -n have to name something, and nothing else may follow")
	}
	return g, nil
}

// growthCommand is `bench growth`. Each queue is filled by one process, which
// then ends without a word, as a crash would end it, and is opened by another.
func growthCommand(ctx context.Context, args []string, out, errs io.Writer) error {
	g, err := parseGrowth(args, errs)
	if err != nil {
		return err
	}
	repo, err := moduleDir(ctx)
	if err != nil {
		return err
	}
	r := &growthReport{started: time.Now(), machine: describe(ctx, repo, g.dir), probes: g.probes}
	for _, n := range g.sizes {
		row, err := g.measure(ctx, n)
		if err != nil {
			return fmt.Errorf("growth: %d recipients: %w", n, err)
		}
		r.rows = append(r.rows, row)
		fmt.Fprintf(errs, "%d recipients done\n", n)
	}
	return r.publish(out, g.out)
}

func (g growth) measure(ctx context.Context, n int) (row growthRow, err error) {
	dir, err := os.MkdirTemp(g.dir, "postroad-growth-")
	if err != nil {
		return row, err
	}
	defer os.RemoveAll(dir)
	row.recipients = n
	if err := g.process(ctx, &row.filled, "grow", strconv.Itoa(n), strconv.Itoa(g.probes), dir); err != nil {
		return row, err
	}
	row.disk = diskUse(dir)
	return row, g.process(ctx, &row.restarted, "regrow", dir)
}

// process runs a helper, whose output is JSON.
func (g growth) process(ctx context.Context, into any, args ...string) error {
	cmd := exec.CommandContext(ctx, g.self, args...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	text, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("%w: %s", err, errs.String())
	}
	return json.Unmarshal(text, into)
}

// growthRow is one size.
type growthRow struct {
	recipients int
	disk       int64
	filled     filled
	restarted  restarted
}
