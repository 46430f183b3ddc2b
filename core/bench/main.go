// SPDX-License-Identifier: Apache-2.0

// Command bench measures Postroad beside what a user would pick instead, in one
// run, interleaved, on one machine:
//
//	go run ./core/bench                          # everything, to standard output
//	go run ./core/bench -out core/bench/results  # and into peers-YYYY-MM-DD.md
//	go run ./core/bench -cases c20/reuse -peers postroad,postfix -runs 1
//
// and what running a guest costs (overhead.go):
//
//	go run ./core/bench overhead -out core/bench/results
//
// and how the queue behaves as it grows (growth.go):
//
//	go run ./core/bench growth -out core/bench/results
//
// It needs Go alone. Where Postfix is installed and the command runs as root,
// Postfix as Debian configures it, with a milter, and tuned is measured too, with
// a configuration and a queue of its own below a temporary folder, on loopback
// ports; so are Exim where there is one, and a Haraka that is pointed to.
//
// Load generator, next hop and milter are this binary, run again as processes
// of their own (load.go, sink.go, milter.go), so that their CPU time is not
// mixed up with the server's. A case fails when a message is refused, lost,
// damaged, or late beyond reason. core/docs/performance.md tells the method and
// how to read the result.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is the whole command: one of the helper processes when the first argument
// names it, else the benchmark. It returns the exit code: 1 when a case failed
// or could not run, 2 for a wrong command line.
func run(args []string, in io.Reader, out, errs io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if helper, ok := helpers()[first(args)]; ok {
		return code(helper(ctx, args[1:], in, out), errs)
	}
	switch first(args) {
	case "overhead":
		return code(overheadCommand(ctx, args[1:], out, errs), errs)
	case "growth":
		return code(growthCommand(ctx, args[1:], out, errs), errs)
	}
	o, err := parse(args, errs)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintln(errs, "bench:", err)
		return 2
	}
	return code(measure(ctx, o, out, errs), errs)
}

// helpers are the processes that this binary is run again for.
func helpers() map[string]func(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	return map[string]func(context.Context, []string, io.Reader, io.Writer) error{
		"load": loadProcess, "hold": holdProcess, "sink": sinkProcess, "milter": milterProcess,
		"grow": growProcess, "regrow": regrowProcess,
	}
}

func first(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

func code(err error, errs io.Writer) int {
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(errs, "bench:", err)
		return 1
	}
	return 0
}
