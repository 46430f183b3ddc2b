// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// overhead is what `bench overhead` was asked for.
type overhead struct {
	bench  options       // of the comparison with peers
	rounds int           // of the guests' benchmarks
	time   time.Duration // of one benchmark in a round
	haraka string        // folder with an installed Haraka
	parts  []string      // "guests", "peers"; empty = both
}

// parseOverhead reads the command line behind "overhead".
func parseOverhead(args []string, errs io.Writer) (overhead, error) {
	self, err := os.Executable()
	if err != nil {
		return overhead{}, err
	}
	o := overhead{bench: options{self: self, tools: "own"}}
	var parts string
	f := flag.NewFlagSet("bench overhead", flag.ContinueOnError)
	f.SetOutput(errs)
	f.IntVar(&o.rounds, "rounds", 5, "rounds of the guests' benchmarks")
	f.DurationVar(&o.time, "time", time.Second, "time of one benchmark in a round")
	f.IntVar(&o.bench.runs, "runs", 5, "rounds of the comparison with peers")
	f.IntVar(&o.bench.messages, "n", 5000, "counted messages of each run of a peer")
	f.StringVar(&o.haraka, "haraka", "", "folder in which `npm install Haraka` was run; without it Haraka is left out")
	f.StringVar(&parts, "parts", "", "guests, peers (both)")
	f.StringVar(&o.bench.out, "out", "", "folder into which overhead-YYYY-MM-DD.md is written")
	f.StringVar(&o.bench.dir, "dir", os.TempDir(), "folder for queues and logs while it runs")
	f.StringVar(&o.bench.binary, "postroad", "", "a postroad binary that is already built (built from this module)")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("%q is not a flag; see overhead -help", f.Arg(0))
	}
	if o.rounds < 1 || o.bench.runs < 1 || o.bench.messages < 1 || o.time <= 0 {
		return o, errors.New("-rounds, -runs, -n and -time have to be positive")
	}
	o.parts = list(parts)
	return o, errors.Join(known("-parts", o.parts, []string{"guests", "peers"})...)
}

// wants reports whether a part was asked for.
func (o overhead) wants(part string) bool {
	return len(o.parts) == 0 || len(known("", []string{part}, o.parts)) == 0
}

// overheadCommand is `bench overhead`.
func overheadCommand(ctx context.Context, args []string, out, errs io.Writer) error {
	o, err := parseOverhead(args, errs)
	if err != nil {
		return err
	}
	repo, err := moduleDir(ctx)
	if err != nil {
		return err
	}
	if o.bench.dir, err = os.MkdirTemp(o.bench.dir, "postroad-overhead-"); err != nil {
		return err
	}
	defer os.RemoveAll(o.bench.dir)
	r := &overheadReport{started: time.Now(), machine: describe(ctx, repo, o.bench.dir), o: o}
	if o.wants("guests") {
		if r.guests, err = o.guests(ctx, repo, errs); err != nil {
			return err
		}
	}
	if o.wants("peers") {
		if r.peers, err = o.peers(ctx, repo, errs); err != nil {
			return err
		}
	}
	return r.publish(out, o.bench.out)
}

// publish writes the report to out and, with a folder, to a file named after the
// day.
func (r *overheadReport) publish(out io.Writer, dir string) error {
	text := r.markdown()
	if _, err := io.WriteString(out, text); err != nil || dir == "" {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "overhead-"+r.started.Format(time.DateOnly)+".md"), []byte(text), 0o644)
}
