// SPDX-License-Identifier: Apache-2.0

package main

import "slices"

// kind is how a case is measured.
type kind int

const (
	relayed  kind = iota // messages go through to the next hop
	held                 // connections are opened and kept idle
	deferred             // the next hop is dead, messages stay in the queue
	traced               // messages go through while the server's system calls are counted
)

// benchCase is a load. For held, messages is the number of connections.
type benchCase struct {
	name     string
	title    string
	kind     kind
	sessions int
	keep     bool
	messages int
	size     int
	columns  []metric
}

const (
	small = 5 << 10
	large = 5 << 20
)

// allCases are the cases in the order of the report, with -n and -size applied.
func allCases(o options) []benchCase {
	all := []benchCase{
		{"c20/conn", "20 sessions, a new connection for each message", relayed, 20, false, 6000, small, rates()},
		{"c20/reuse", "20 sessions, connections kept", relayed, 20, true, 6000, small, rates()},
		{"c100/conn", "100 sessions, a new connection for each message", relayed, 100, false, 6000, small, rates()},
		{"c100/reuse", "100 sessions, connections kept", relayed, 100, true, 6000, small, rates()},
		{"large", "messages of 5 MiB, 10 sessions, connections kept", relayed, 10, true, 200, large, megabytes()},
		{"idle1000", "1,000 idle connections after EHLO", held, 1000, true, 1000, small, []metric{idleMemory, idleOwn, afterMemory, afterOwn}},
		{"deferred", "20,000 messages that cannot be delivered", deferred, 20, true, 20000, small, []metric{accepted, afterMemory, afterOwn, disk, others}},
		{"syncs", "system calls that sync, counted by strace; 10 sessions, connections kept", traced, 10, true, 200, small, []metric{syncs}},
	}
	for i := range all {
		all[i].resize(o.messages, o.size)
	}
	return slices.DeleteFunc(all, func(c benchCase) bool { return len(o.cases) > 0 && !slices.Contains(o.cases, c.name) })
}

func (c *benchCase) resize(messages, size int) {
	if messages > 0 {
		c.messages = messages
	}
	if size > 0 {
		c.size = size
	}
	c.sessions = min(c.sessions, c.messages)
}

// warmUp is how many messages go first, uncounted.
func (c benchCase) warmUp() int { return max(c.sessions, min(c.messages/10, 500)) }

func caseNames() (names []string) {
	for _, c := range allCases(options{}) {
		names = append(names, c.name)
	}
	return names
}

// metric is something that is measured; a sample has a number for each.
type metric int

const (
	accepted  metric = iota // messages with a 250 per second
	delivered               // messages at the next hop per second
	acceptedMB
	deliveredMB
	cpuPerMessage // ms
	cpuPerMB      // ms
	p50           // ms from the end of data to the 250
	p99
	idleMemory // MiB after the start
	idleOwn    // of it not the page cache's
	afterMemory
	afterOwn
	syncs         // per message
	writtenByIt   // KiB per message, by the server's processes
	writtenToDisk // KiB per message, by the whole machine
	connections
	loadCPU // ms per message
	sinkCPU
	others // cores that something else used meanwhile
	disk   // MiB
	metricCount
)

func (m metric) String() string {
	return [metricCount]string{"accepted/s", "delivered/s", "accepted MB/s", "delivered MB/s", "CPU ms/msg", "CPU ms/MB",
		"250 after ms, p50", "p99", "memory idle MiB", "of it anonymous", "after MiB", "of it anonymous", "syncs/msg", "written KiB/msg", "device KiB/msg", "connections out/msg",
		"load CPU ms/msg", "next hop CPU ms/msg", "cores used by others", "disk MiB"}[m]
}

func rates() []metric {
	return []metric{accepted, delivered, cpuPerMessage, p50, p99, afterMemory, syncs, writtenByIt, writtenToDisk, connections, loadCPU, sinkCPU, others}
}

func megabytes() []metric {
	return []metric{acceptedMB, deliveredMB, cpuPerMB, afterMemory, writtenByIt, writtenToDisk, others}
}

// sample is one measured run. A metric that is not known is NaN.
type sample struct {
	failed string // why the numbers do not count; empty = they do
	values [metricCount]float64
}
