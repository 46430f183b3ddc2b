// SPDX-License-Identifier: Apache-2.0

package smtpin

// stackRoom is about how much stack a message takes from MAIL to its reply, with
// stages, queue and log: octets.
const stackRoom = 12 << 10

// deepen grows the stack of a session's goroutine at once to what a message needs.
// It would grow to that in several steps, each of which copies it: a twentieth of
// the CPU where each message has a connection of its own. A session that only
// waits keeps its small one.
//
//go:noinline
func deepen(i byte) byte {
	var room [stackRoom]byte
	return room[i]
}
