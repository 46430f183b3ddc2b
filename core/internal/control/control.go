// SPDX-License-Identifier: Apache-2.0

// Package control is the running relay's socket, data_dir/control.sock, and the
// client that the command line uses: JSON over HTTP over a unix socket that
// only the owner may open (0600). The store's lock is exclusive, so this is the
// only way to the queue of a relay that runs.
package control

import (
	"context"
	"path/filepath"
	"time"

	"github.com/postroad-mail/postroad/core/mail"
)

// SocketName is the name of the socket in data_dir.
const SocketName = "control.sock"

// SocketPath returns the path of the socket of the relay in dataDir.
func SocketPath(dataDir string) string { return filepath.Join(dataDir, SocketName) }

// Service is what the relay offers on its socket. Errors are shown to the
// operator as they are.
type Service interface {
	Info(ctx context.Context) (Info, error)
	Reload(ctx context.Context) error
	List(ctx context.Context, f Filter) ([]mail.QueueEntry, error)
	Show(ctx context.Context, id string) (mail.QueueEntry, error)
	Act(ctx context.Context, a Action) (int, error)
	Stages(ctx context.Context) ([]StageState, error)
	SetStage(ctx context.Context, a StageAction) (StageState, error)
	Differences(ctx context.Context, stage string) ([]Difference, error)
	Backup(ctx context.Context, dir string) error
}

// Info tells which relay answers.
type Info struct {
	Version   string
	PID       int
	Config    string // file that was loaded
	Started   time.Time
	Listeners map[string]string // address by name
	Queue     map[string]int    // messages by state
}

// Filter selects messages of the queue; empty fields select all.
type Filter struct {
	State  string `json:",omitempty"` // ready, deferred, held, quarantined
	Domain string `json:",omitempty"` // of a recipient
	Sender string `json:",omitempty"`
	Route  string `json:",omitempty"`
	Limit  int    `json:",omitempty"` // 0: 1,000
}

// Action is something done to messages of the queue.
type Action struct {
	Verb   string   // retry, drop, hold, release
	IDs    []string `json:",omitempty"` // the messages; empty with All
	All    bool     `json:",omitempty"`
	Reason string   `json:",omitempty"` // for hold: shown and logged
}
