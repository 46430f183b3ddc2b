// SPDX-License-Identifier: Apache-2.0

//go:build !profile

package main

// profile does nothing: only a binary that was built with -tags profile writes
// one (core/docs/performance.md).
func profile(streams) (stop func()) { return func() {} }
