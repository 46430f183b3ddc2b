// SPDX-License-Identifier: Apache-2.0

package hostile

import "strings"

// broken are modules that must not be loaded, and what the operator is told.
func broken() map[string]struct {
	wasm []byte
	says string
} {
	type b = struct {
		wasm []byte
		says string
	}
	exports := func(s string) func(map[byte][]byte) { return set(7, s) }
	add := func(id byte, s string) func(map[byte][]byte) { return set(id, s) }
	touch := func(n int) string {
		var s strings.Builder
		for i := range n {
			s.WriteString("\x20" + string(leb(i)) + "\x1a")
		}
		return s.String()
	}
	safe := "it cannot be run safely"
	invalid := "it is not a valid WebAssembly 2.0 module"
	return map[string]b{
		// malformed
		"empty":            {nil, "it is not a WebAssembly module"},
		"text":             {[]byte("#!/bin/sh\nexit 0\n"), "it is not a WebAssembly module"},
		"component":        {[]byte("\x00asm\x0d\x00\x01\x00"), "it is a WebAssembly component"},
		"version 2":        {[]byte("\x00asm\x02\x00\x00\x00"), "unknown binary version"},
		"truncated":        {on(spins)[:60], "damaged"},
		"trailing":         {append(on(spins), 1), "damaged"},
		"section twice":    {append(on(spins), section{3, []byte{0}}.encode()...), safe},
		"unknown section":  {on(spins, add(13, "\x00")), safe},
		"4 GiB of types":   {on(spins, set(1, "\xff\xff\xff\xff\x0f")), safe},
		"wrong types":      {on("\x42\x00"), invalid},
		"empty stack":      {on("\x1a\x41\x00"), invalid},
		"unknown opcode":   {on("\xff\x41\x00"), invalid},
		"start with types": {on(spins, add(8, "\x01")), invalid},

		// proposals that would get around the meter
		"tail call":      {on("\x12\x01"), invalid},
		"exceptions":     {on("\x06\x40\x0b\x41\x00"), invalid},
		"threads":        {on("\xfe\x03\x00\x41\x00"), invalid},
		"shared memory":  {on(spins, set(5, "\x01\x03\x01\x01")), safe},
		"memory64":       {on(spins, set(5, "\x01\x04\x01")), safe},
		"two memories":   {on(spins, set(5, "\x02\x00\x01\x00\x01")), safe},
		"garbage types":  {on(spins, set(1, "\x04\x60\x00\x01\x7e\x60\x02\x7f\x7f\x01\x7f\x60\x00\x00\x5f\x00")), safe},
		"relaxed vector": {on("\xfd\x80\x02\x41\x00"), invalid},

		// refuelling itself
		"sets the slice":    {on("\x42\x7f\x24\x00\x41\x00"), invalid},
		"sets the total":    {on("\x42\x7f\x24\x01\x41\x00"), invalid},
		"clears the kill":   {on("\x41\x00\x24\x02\x41\x00"), invalid},
		"raises the depth":  {on("\x41\x7f\x24\x83\x80\x80\x80\x00\x41\x00"), invalid},
		"calls the helper":  {on("\x10\x02\x41\x00"), invalid},
		"leaves too far":    {on("\x02\x40\x0c\x02\x0b\x41\x00"), invalid},
		"takes its names":   {on(spins, exports("\x04\x06memory\x02\x00\x07pr_init\x00\x00\x05pr_on\x00\x01\x13postroad.meter.kill\x00\x00")), safe},
		"takes start's":     {on(spins, exports("\x04\x06memory\x02\x00\x07pr_init\x00\x00\x05pr_on\x00\x01\x0epostroad.start\x00\x00"), add(8, "\x02"), set(3, "\x03\x00\x01\x02"), set(10, "\x03\x08\x00\x42\xff\x8e\xbc\x88\x08\x0b\x04\x00\x41\x00\x0b\x02\x00\x0b")), "reserved name"},
		"exports a counter": {on(spins, exports("\x04\x06memory\x02\x00\x07pr_init\x00\x00\x05pr_on\x00\x01\x01x\x03\x00")), safe},

		// no plugin
		"no memory":        {on(spins, exports("\x02\x07pr_init\x00\x00\x05pr_on\x00\x01")), "memory"},
		"no pr_on":         {on(spins, exports("\x02\x06memory\x02\x00\x07pr_init\x00\x00")), "pr_on"},
		"pr_on of types":   {on(spins, exports("\x03\x06memory\x02\x00\x07pr_init\x00\x00\x05pr_on\x00\x00")), "its export pr_on has the type"},
		"imports a global": {on(spins, add(2, "\x01\x03env\x01g\x03\x7f\x00")), "env"},
		"imports a file":   {on(spins, add(2, "\x01\x02os\x04open\x00\x02")), "os"},
		"imports our own":  {on(spins, add(2, "\x01\x0bpostroad_v1\x06refill\x00\x02")), "refill"},
		"imports by types": {on(spins, add(2, "\x01\x0bpostroad_v1\x03now\x00\x02"), set(10, "\x02"+string(body(0, "\x42\x00"))+string(body(0, "\x41\x00"))), exports("\x03\x06memory\x02\x00\x07pr_init\x00\x01\x05pr_on\x00\x02")), "it imports postroad_v1.now with the type"},
		"imports sockets":  {on(spins, add(2, "\x01\x0bpostroad_v9\x03now\x00\x02")), "postroad_v9"},

		// bombs for the loader and the compiler
		"memory of 4 GiB":      {on(spins, set(5, "\x01\x00\x80\x80\x04")), "raise it"},
		"table of 4 G":         {on(spins, set(4, "\x01\x70\x00\xff\xff\xff\xff\x0f")), "it "},
		"table of a million":   {on(spins, set(4, "\x01\x70\x00\xc0\x84\x3d")), safe},
		"a million locals":     {plugin(body(0, spins), 1, body(1_000_000, "")), "locals"},
		"41 x 50,000 locals":   {plugin(body(0, spins), 41, body(50_000, "")), "locals"},
		"a million functions":  {plugin(body(0, spins), 1_000_000, body(0, "")), "at most 300000"},
		"one giant function":   {plugin(body(0, spins), 1, body(0, repeat("\x01", 15<<20))), "function body"},
		"code without an end":  {plugin(body(0, spins), 60, body(0, repeat("\x01", 510<<10))), "octets of code"},
		"too large":            {append(on(spins), section{0, []byte(repeat("\x00", 33<<20))}.encode()...), "is larger than 32 MiB"},
		"21,000 blocks":        {on(repeat("\x02\x40\x0b", 21_000) + "\x41\x00"), "21000 blocks"},
		"99,000 blocks inside": {on(repeat("\x02\x40", 99_000) + repeat("\x0b", 99_000) + "\x41\x00"), "99000 blocks"},
		"4,000 loops inside":   {on(repeat("\x03\x40", 4_000) + repeat("\x0b", 4_000) + "\x41\x00"), "loops"},
		"loops over locals":    {plugin(body(0, spins), 1, body(1_000, touch(1_000)+repeat("\x03\x40\x20\x00\x0d\x00\x0b", 1_000))), "loops and 1000 locals"},
		"blocks over locals":   {plugin(body(0, spins), 1, body(2_000, touch(2_000)+repeat("\x20\x00\x04\x40\x0b", 1_500))), "blocks and 2000 locals"},
		"branch tables":        {on("\x02\x40" + repeat("\x41\x00\x0e"+string(leb(60_000))+repeat("\x00", 60_001), 1) + "\x0b\x41\x00"), "branch tables"},
		"90,000 results":       {on(spins, set(1, "\x04\x60\x00\x01\x7e\x60\x02\x7f\x7f\x01\x7f\x60\x00\x00\x60\x00"+string(vector(1000, []byte(repeat("\x7f", 1000)))))), "results"},
		"manifest of lists":    {append(on(spins), section{0, []byte("\x11postroad.manifest" + repeat("[", 1<<20))}.encode()...), "manifest"},
		"two manifests":        {append(append(on(spins), section{0, []byte("\x11postroad.manifest{}")}.encode()...), section{0, []byte("\x11postroad.manifest{}")}.encode()...), "two postroad.manifest sections"},
		"fixtures of lists":    {append(on(spins), section{0, []byte("\x11postroad.fixtures" + repeat("[", 1<<20))}.encode()...), "fixtures"},
	}
}
