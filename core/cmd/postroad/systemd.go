// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"os"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/coreos/go-systemd/v22/daemon"
)

// inheritedSockets returns the sockets that systemd started this process with
// (sd_listen_fds(3)), by name, and takes them out of the environment: a child is
// not to believe that they are its own.
func inheritedSockets() map[string][]*os.File {
	sockets := map[string][]*os.File{}
	for _, f := range activation.Files(true) {
		sockets[f.Name()] = append(sockets[f.Name()], f)
	}
	return sockets
}

// What systemd is told (sd_notify(3)).
const (
	stateReady    = daemon.SdNotifyReady
	stateStopping = daemon.SdNotifyStopping
)

// stateReloading carries the time that Type=notify-reload wants with it.
func stateReloading() string { return daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec() }

// notify tells the service manager how this process is, if it wants to know.
func notify(errs io.Writer, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		fmt.Fprintf(errs, "postroad: the service manager was not told: %v\n", err)
	}
}
