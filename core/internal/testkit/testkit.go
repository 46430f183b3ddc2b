// SPDX-License-Identifier: Apache-2.0

// Package testkit holds the fakes that tests put at the edges of the relay: a
// clock that stands still until it is told to move, a name server, an SMTP
// server that records what it gets and misbehaves by script, certificates, and
// a runner for dialogues written as text files. Everything between the edges is
// tested as it is, over real loopback sockets.
//
// Nothing here is for production. The package does not import "testing", so
// that a public helper (a relay embedded in somebody's test) may use it without
// dragging that package into a program.
package testkit

import "net"

// T is the part of *testing.T and *testing.B that testkit uses.
type T interface {
	Helper()
	Cleanup(func())
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// FreeAddr returns "127.0.0.1:port" with a TCP port on which nothing listened a
// moment ago. Prefer listening on port 0: another process may take the port.
func FreeAddr(t T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("testkit: no free port: %v", err)
	}
	defer l.Close()
	return l.Addr().String()
}
