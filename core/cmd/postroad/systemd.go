// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"

	"github.com/coreos/go-systemd/v22/activation"
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
