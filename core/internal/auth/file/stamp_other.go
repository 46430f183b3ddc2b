// SPDX-License-Identifier: Apache-2.0

//go:build !unix

package file

import "io/fs"

func stampOf(info fs.FileInfo) stamp { return stamp{size: info.Size(), mtime: info.ModTime()} }
