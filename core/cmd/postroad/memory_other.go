// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package main

// dropProgram does nothing: only Linux tells what is mapped.
func dropProgram() {}
