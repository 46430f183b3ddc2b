// SPDX-License-Identifier: Apache-2.0

//go:build wasip1

// A text filter as a Postroad stage: the message comes in on standard input, and
// what leaves on standard output takes its place. This one adds a footer.
package main

import (
	"io"
	"os"
)

func main() {
	if _, err := io.Copy(os.Stdout, os.Stdin); err != nil {
		os.Exit(75) // tempfail
	}
	os.Stdout.WriteString("-- \r\nSent by way of Postroad\r\n")
}
