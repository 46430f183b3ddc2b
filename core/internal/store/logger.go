// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/hashicorp/go-hclog"
)

// pebbleLog hands Pebble's words to our logger. Fatalf, which Pebble calls when
// it cannot go on, notes a fault instead of ending the process.
type pebbleLog struct {
	log  hclog.Logger
	disk *disk
}

// Infof implements pebble.Logger.
func (l *pebbleLog) Infof(format string, args ...any) { l.log.Debug(fmt.Sprintf(format, args...)) }

// Errorf implements pebble.Logger.
func (l *pebbleLog) Errorf(format string, args ...any) { l.log.Error(fmt.Sprintf(format, args...)) }

// Fatalf implements pebble.Logger. Unlike its name, and like the rest of
// Postroad's rooms, it returns.
func (l *pebbleLog) Fatalf(format string, args ...any) {
	l.disk.fail("pebble", fmt.Errorf(format, args...))
}

// events logs what an operator should hear of: failures in the background,
// and writers that have to wait for tables.
func events(std pebble.Logger, log hclog.Logger) *pebble.EventListener {
	e := &pebble.EventListener{
		BackgroundError: func(err error) { log.Warn("background work failed and will be tried again", "error", err) },
		WriteStallBegin: func(i pebble.WriteStallBeginInfo) { log.Warn("writers wait for tables", "reason", i.Reason) },
		WriteStallEnd:   func() { log.Info("writers go on") },
		DataCorruption:  func(i pebble.DataCorruptionInfo) { corrupt(log, i) },
	}
	e.EnsureDefaults(std)
	return e
}

// corrupt tells of a table that cannot be read. That is no fault of the disk as
// a whole: what is in the damaged block alone goes on hold, and Pebble leaves
// the table out of its own work for a while.
func corrupt(log hclog.Logger, i pebble.DataCorruptionInfo) {
	log.Error("a table of the database is damaged: stop the relay and run postroad queue fsck --repair", "file", i.Path, "error", i.Details)
}
