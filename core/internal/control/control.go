// SPDX-License-Identifier: Apache-2.0

// Package control is the running relay's socket, data_dir/control.sock, and the
// client that the command line uses: JSON over HTTP over a unix socket that
// only the owner may open (0600). The store's lock is exclusive, so this is the
// only way to the queue of a relay that runs.
package control

import (
	"context"
	"io"
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
	Act(ctx context.Context, a Action) (Done, error)
	Suspend(ctx context.Context, a SuspendAction) (Done, error)
	Resume(ctx context.Context, a ResumeAction) ([]mail.Suspension, error)
	Suspensions(ctx context.Context) ([]mail.Suspension, error)
	Export(ctx context.Context, a ExportAction, w io.Writer) error
	Import(ctx context.Context, a ImportAction, r io.Reader) (Imported, error)
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
	Listeners map[string]string // addresses by name, with a comma between them
	Queue     map[string]int    // messages by state
	Reading   bool              // the queue is still being read after the start: Queue is what was read
}

// MaxList is how many messages one List returns at most.
const MaxList = 100_000

// Filter selects messages to list.
type Filter struct {
	mail.QueueSelector
	After string `json:",omitempty"` // only ids behind this one: the last of the page before
	Limit int    `json:",omitempty"` // 0: 1,000; at most MaxList
}

// Action is something done to messages of the queue: to those of IDs, or to
// those that Select matches. By a selector, nothing is done without Yes: the
// answer says what is meant.
type Action struct {
	Verb   string              // retry, release, hold, bounce, drop or reroute
	IDs    []string            `json:",omitempty"`
	GoneOK bool                `json:",omitempty"` // one of IDs that is not there is left out; else it is an error and nothing is done
	Select *mail.QueueSelector `json:",omitempty"`
	Yes    bool                `json:",omitempty"`
	By     string              `json:",omitempty"` // the operator, for the log
	Reason string              `json:",omitempty"` // needed to hold, bounce, drop and reroute
	For    time.Duration       `json:",omitempty"` // hold: ends then; 0: when somebody releases it
	Reply  string              `json:",omitempty"` // bounce: "550 5.7.1 text", or the text alone
	To     string              `json:",omitempty"` // reroute: name of a route
}

// Done is what was done to messages or, of a dry run, what would be.
type Done struct {
	Messages   int
	Recipients int
	Octets     int64
	Did        bool              // false: nothing was done
	Busy       int               `json:",omitempty"` // recipients that were left out, for they were being tried
	First      []mail.QueueEntry `json:",omitempty"` // the first few of a dry run
	Suspension *mail.Suspension  `json:",omitempty"` // that was made
}

// SuspendAction makes a suspension by tenant, campaign, domain and route of
// Select; without Yes it says only what is meant of what is queued now.
type SuspendAction struct {
	Select mail.QueueSelector
	For    time.Duration
	Yes    bool   `json:",omitempty"`
	By     string `json:",omitempty"`
	Reason string
}

// ResumeAction ends suspensions: those of IDs at once, or those that name all of
// tenant, campaign, domain and route that are set in Select; the empty Select is
// all. By Select nothing is done without Yes: the answer says what is meant.
type ResumeAction struct {
	IDs    []string            `json:",omitempty"`
	Select *mail.QueueSelector `json:",omitempty"`
	Yes    bool                `json:",omitempty"`
	By     string              `json:",omitempty"`
}

// ExportAction names the messages to export. With Remove they are held until
// the caller drops them, once the export is durable where he wants it; those
// that are being tried are left out.
type ExportAction struct {
	IDs    []string            `json:",omitempty"`
	Select *mail.QueueSelector `json:",omitempty"`
	Remove bool                `json:",omitempty"`
	By     string              `json:",omitempty"`
}

// ImportAction says what to do with an export.
type ImportAction struct {
	Yes bool
	By  string
}

// Imported is what an import has queued, durably; without Yes what it would.
type Imported struct {
	Messages   int
	Recipients int
	Octets     int64
	Did        bool
	Refused    []string `json:",omitempty"` // ids that are in the queue already
}
