// SPDX-License-Identifier: Apache-2.0

package store

import "github.com/cockroachdb/pebble/v2/vfs"

// Memory returns a filesystem in memory for Options.FS. What is stored there is
// gone with it.
func Memory() vfs.FS { return vfs.NewMem() }
