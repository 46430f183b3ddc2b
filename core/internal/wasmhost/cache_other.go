// SPDX-License-Identifier: Apache-2.0

//go:build !unix

package wasmhost

import "io/fs"

// privateMode and ownedByUs: without Unix owners and modes, the folder is as
// private as the system's access lists make the data directory.
func privateMode(fs.FileInfo) bool { return true }

func ownedByUs(fs.FileInfo) bool { return true }
