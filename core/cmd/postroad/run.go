// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/postroad-mail/postroad/core/relay"
)

type runCmd struct{}

// Run serves until SIGTERM or SIGINT, then drains. A second signal ends it at
// once, which loses nothing: what was acknowledged is on disk.
func (runCmd) Run(c *cli, s streams) error {
	setGarbage()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	r, err := relay.Open(ctx, relay.Options{ConfigFile: c.Config, LogOutput: s.err, Sockets: inheritedSockets()})
	if err != nil {
		return err
	}
	defer profile(s)()
	if i := r.Info(); i.LogFormat != "json" { // programs read it
		announce(s.out, i)
	}
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	notify(s.err, stateReady) // the sockets are open
	go attend(ctx, r, hup, stop, s.err)
	return r.Run(ctx)
}

// attend does what the running relay needs from outside until ctx is done: it
// reloads on SIGHUP, and gives memory back when it is quiet.
func attend(ctx context.Context, r *relay.Relay, hup <-chan os.Signal, stop func(), errs io.Writer) {
	memory := newTrimmer()
	trim() // the start is over
	look := time.NewTicker(trimLook)
	defer look.Stop()
	for {
		select {
		case <-hup:
			notify(errs, stateReloading())
			r.ReloadOrLog(ctx)
			notify(errs, stateReady)
		case <-look.C:
			memory.look()
		case <-ctx.Done():
			notify(errs, stateStopping)
			stop() // the next signal ends the process
			return
		}
	}
}

// announce prints what the relay listens on and a line that sends a first
// message.
func announce(w io.Writer, i relay.Info) {
	fmt.Fprintf(w, "postroad %s, configuration %s, data in %s\n", relay.Version(), i.ConfigFile, i.DataDir)
	for _, l := range i.Listeners {
		fmt.Fprintf(w, "  %s %q listens on %s\n", l.Kind, l.Name, l.Address)
	}
	if i.Admin != "" {
		fmt.Fprintf(w, "  figures at http://%s/metrics, health at http://%s/healthz\n", i.Admin, i.Admin)
	}
	if server := firstServer(i.Listeners); server != "" {
		fmt.Fprintf(w, "Send a first message from another terminal:\n  %s send --server %s --to %s --subject Hello \"It works.\"\n",
			self(), server, i.Mailbox)
		if i.Maildir != "" {
			fmt.Fprintf(w, "It arrives below %s\n", i.Maildir)
		}
	}
}

// firstServer returns where `postroad send` can go to; empty if nowhere.
func firstServer(ls []relay.ListenerInfo) string {
	for _, l := range ls {
		if l.Kind == "smtp" && !strings.HasPrefix(l.Address, "unix:") {
			return l.Address
		}
	}
	return ""
}

// self is how the reader can call this program again.
func self() string {
	exe, err := os.Executable()
	if err != nil || strings.Contains(exe, "go-build") { // go run
		return "go run ./core/cmd/postroad"
	}
	if filepath.Base(os.Args[0]) == os.Args[0] {
		return os.Args[0] // found by PATH
	}
	return exe
}
