// SPDX-License-Identifier: Apache-2.0

//go:build profile

package main

import (
	"fmt"
	"os"
	"runtime/pprof"
)

// profile writes where the CPU time goes, until the function that it returns is
// called, to the file that POSTROAD_PROFILE names.
func profile(s streams) (stop func()) {
	name := os.Getenv("POSTROAD_PROFILE")
	if name == "" {
		return func() {}
	}
	f, err := os.Create(name)
	if err == nil {
		err = pprof.StartCPUProfile(f)
	}
	if err != nil {
		fmt.Fprintln(s.err, "postroad: no profile:", err)
		return func() {}
	}
	return func() {
		pprof.StopCPUProfile()
		if err := f.Close(); err != nil {
			fmt.Fprintln(s.err, "postroad: profile:", err)
		}
	}
}
