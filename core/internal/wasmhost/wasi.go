// SPDX-License-Identifier: Apache-2.0

package wasmhost

import (
	"context"
	"encoding/binary"
	"time"

	"github.com/tetratelabs/wazero/api"
)

// wasiModule is WASI preview 1. Guests get clocks, sleep, random octets, standard
// output and error (which go to the log), and proc_exit; commands also arguments,
// an environment, standard input, and an output of their own. What tells of
// files says that there are none; everything else answers ENOSYS. Section 1 of
// sdk/abi/spec.md lists the functions.
const wasiModule = "wasi_snapshot_preview1"

// Errors of WASI preview 1.
const (
	wasiOK     = 0
	wasiBadF   = 8
	wasiInval  = 28
	wasiIO     = 29
	wasiNoSys  = 52
	wasiNotSup = 58
)

// wasiFunction is one function of WASI: its parameters, one letter each (i for
// i32, I for i64), and what it does; nil answers ENOSYS.
type wasiFunction struct {
	params string
	run    func(i *instance, s []uint64) uint32
	exits  bool
}

// Call implements api.GoModuleFunction.
func (f *wasiFunction) Call(ctx context.Context, _ api.Module, stack []uint64) {
	i := instanceOf(ctx)
	i.enter()
	r := uint32(wasiNoSys)
	if f.run != nil {
		r = f.run(i, stack)
	}
	stack[0] = uint64(r)
}

// types returns the function's type: all return an errno, but proc_exit, which
// does not return.
func (f *wasiFunction) types() (params, results []api.ValueType) {
	for _, c := range f.params {
		if c == 'I' {
			params = append(params, api.ValueTypeI64)
		} else {
			params = append(params, api.ValueTypeI32)
		}
	}
	if !f.exits {
		results = []api.ValueType{api.ValueTypeI32}
	}
	return params, results
}

func wasiFunctions() map[string]*wasiFunction {
	return map[string]*wasiFunction{
		"args_get":          {params: "ii", run: wasiArgs},
		"args_sizes_get":    {params: "ii", run: wasiArgSizes},
		"environ_get":       {params: "ii", run: wasiEnviron},
		"environ_sizes_get": {params: "ii", run: wasiEnvironSizes},
		"clock_res_get":     {params: "ii", run: wasiClockRes},
		"clock_time_get":    {params: "iIi", run: wasiClockTime},
		"random_get":        {params: "ii", run: wasiRandom},
		"fd_read":           {params: "iiii", run: wasiRead},
		"fd_write":          {params: "iiii", run: wasiWrite},
		"fd_fdstat_get":     {params: "ii", run: wasiFdstat},
		"fd_prestat_get":    {params: "ii", run: wasiBadFile}, // ends the search for folders of Go's and wasi-libc's start
		"fd_close":          {params: "i", run: wasiBadFile},
		"poll_oneoff":       {params: "iiii", run: wasiPoll},
		"sched_yield":       {params: "", run: wasiNothing},
		"proc_exit":         {params: "i", run: wasiExit, exits: true},

		"fd_advise":               {params: "iIIi"},
		"fd_allocate":             {params: "iII"},
		"fd_datasync":             {params: "i"},
		"fd_fdstat_set_flags":     {params: "ii"},
		"fd_fdstat_set_rights":    {params: "iII"},
		"fd_filestat_get":         {params: "ii"},
		"fd_filestat_set_size":    {params: "iI"},
		"fd_filestat_set_times":   {params: "iIIi"},
		"fd_pread":                {params: "iiiIi"},
		"fd_prestat_dir_name":     {params: "iii"},
		"fd_pwrite":               {params: "iiiIi"},
		"fd_readdir":              {params: "iiiIi"},
		"fd_renumber":             {params: "ii"},
		"fd_seek":                 {params: "iIii"},
		"fd_sync":                 {params: "i"},
		"fd_tell":                 {params: "ii"},
		"path_create_directory":   {params: "iii"},
		"path_filestat_get":       {params: "iiiii"},
		"path_filestat_set_times": {params: "iiiiIIi"},
		"path_link":               {params: "iiiiiii"},
		"path_open":               {params: "iiiiiIIii"},
		"path_readlink":           {params: "iiiiii"},
		"path_remove_directory":   {params: "iii"},
		"path_rename":             {params: "iiiiii"},
		"path_symlink":            {params: "iiiii"},
		"path_unlink_file":        {params: "iii"},
		"proc_raise":              {params: "i"},
		"sock_accept":             {params: "iii"},
		"sock_recv":               {params: "iiiiii"},
		"sock_send":               {params: "iiiii"},
		"sock_shutdown":           {params: "ii"},
	}
}

func wasiNothing(*instance, []uint64) uint32 { return wasiOK }

func wasiBadFile(*instance, []uint64) uint32 { return wasiBadF }

func (i *instance) putU32(p uint64, v uint32) { binary.LittleEndian.PutUint32(i.view(p, 4), v) }

func (i *instance) putU64(p uint64, v uint64) { binary.LittleEndian.PutUint64(i.view(p, 8), v) }

func wasiClockRes(i *instance, s []uint64) uint32 {
	i.putU64(s[1], 1000)
	return wasiOK
}

// Clocks of WASI. The real time is the relay's clock, the others are the
// machine's: a guest's scheduler must not stand still in a test.
const (
	clockRealtime  = 0
	clockMonotonic = 1
	clockThread    = 3
)

func wasiClockTime(i *instance, s []uint64) uint32 {
	switch id := arg(s[0]); {
	case id == clockRealtime:
		i.putU64(s[2], uint64(i.stage.clock.Now().UnixNano()))
	case id >= clockMonotonic && id <= clockThread:
		i.putU64(s[2], uint64(time.Since(i.born)))
	default:
		return wasiInval
	}
	return wasiOK
}

func wasiRandom(i *instance, s []uint64) uint32 {
	buf := i.view(s[0], s[1])
	i.charge(int64(len(buf)))
	if _, err := i.stage.host.random.Read(buf); err != nil {
		return wasiNoSys
	}
	return wasiOK
}

// maxVectors bounds the buffers of one fd_write.
const maxVectors = 1024

// wasiWrite(fd, iovs, n, written): standard output and error.
func wasiWrite(i *instance, s []uint64) uint32 {
	if fd := arg(s[0]); fd != 1 && fd != 2 {
		return wasiBadF
	}
	n := arg(s[2])
	if n < 0 || n > maxVectors {
		return wasiInval
	}
	vectors, total := i.view(s[1], uint64(n)*8), 0
	for ; len(vectors) > 0; vectors = vectors[8:] {
		p := i.vector(vectors)
		i.charge(int64(len(p)))
		i.write(arg(s[0]), p)
		total += len(p)
	}
	i.putU32(s[3], uint32(total))
	return wasiOK
}

// vector returns the buffer that an iovec describes.
func (i *instance) vector(iovec []byte) []byte {
	return i.view(uint64(binary.LittleEndian.Uint32(iovec)), uint64(binary.LittleEndian.Uint32(iovec[4:])))
}

// write takes octets of standard output or error.
func (i *instance) write(fd int, p []byte) {
	if fd != 1 || i.program == nil {
		i.out.write(p)
		return
	}
	if err := i.program.out.write(p); err != nil {
		i.program.failed = err
		panic(errOutput)
	}
}

// wasiRead(fd, iovs, n, read): standard input, which only a command has.
func wasiRead(i *instance, s []uint64) uint32 {
	if arg(s[0]) != 0 {
		return wasiBadF
	}
	n := arg(s[2])
	if n < 0 || n > maxVectors {
		return wasiInval
	}
	vectors, total := i.view(s[1], uint64(n)*8), 0
	for ; len(vectors) > 0 && i.program != nil; vectors = vectors[8:] {
		p := i.vector(vectors)
		p = p[:min(len(p), maxReadChunk)]
		i.charge(int64(len(p)) / octetsPerUnit)
		got, err := i.program.read(p)
		if err != nil {
			i.stage.logger.Error("message could not be read for a command", "id", i.out.id, "error", err)
			return wasiIO
		}
		if total += got; got < len(p) {
			break
		}
	}
	i.putU32(s[3], uint32(total))
	return wasiOK
}

// wasiArgSizes(count, octets): of the arguments, each with a NUL behind it.
func wasiArgSizes(i *instance, s []uint64) uint32 { return i.putSizes(s, i.args()) }

// wasiArgs(pointers, octets): the arguments.
func wasiArgs(i *instance, s []uint64) uint32 { return i.putStrings(s, i.args()) }

// wasiEnvironSizes(count, octets): of the environment.
func wasiEnvironSizes(i *instance, s []uint64) uint32 { return i.putSizes(s, i.environ()) }

// wasiEnviron(pointers, octets): the environment.
func wasiEnviron(i *instance, s []uint64) uint32 { return i.putStrings(s, i.environ()) }

func (i *instance) putSizes(s []uint64, list []string) uint32 {
	octets := 0
	for _, a := range list {
		octets += len(a) + 1
	}
	i.putU32(s[0], uint32(len(list)))
	i.putU32(s[1], uint32(octets))
	return wasiOK
}

func (i *instance) putStrings(s []uint64, list []string) uint32 {
	p, b := s[0], s[1]
	for _, a := range list {
		i.putU32(p, uint32(b))
		copy(i.view(b, uint64(len(a)+1)), a+"\x00")
		p, b = p+4, b+uint64(len(a)+1)
	}
	return wasiOK
}

func (i *instance) environ() []string {
	if i.program == nil {
		return nil
	}
	return i.program.env
}

func (i *instance) args() []string {
	if i.program == nil {
		return nil
	}
	return i.program.args
}

// wasiFdstat(fd, out): 0 to 2 are character devices, others are not there.
func wasiFdstat(i *instance, s []uint64) uint32 {
	if fd := arg(s[0]); fd < 0 || fd > 2 {
		return wasiBadF
	}
	out := i.view(s[1], 24)
	clear(out)
	out[0] = 2 // character device; no flags, no rights
	return wasiOK
}

// wasiExit(code) ends the guest.
func wasiExit(i *instance, s []uint64) uint32 {
	i.exited = true
	if i.program != nil {
		i.program.code = arg(s[0])
	}
	panic(exitError(arg(s[0])))
}

// Layout of poll_oneoff's subscriptions and events, in octets.
const (
	subscriptionSize = 48
	eventSize        = 32
	eventClock       = 0
	flagAbsolute     = 1
)

// wasiPoll(subscriptions, events, n, count) sleeps until the first clock is due,
// or the call's deadline. Subscriptions to files answer ENOTSUP at once.
func wasiPoll(i *instance, s []uint64) uint32 {
	n := arg(s[2])
	if n < 1 || n > maxVectors {
		return wasiInval
	}
	subs, events := i.view(s[0], uint64(n)*subscriptionSize), i.view(s[1], uint64(n)*eventSize)
	first, wait := -1, time.Duration(0)
	for k := 0; k < n; k++ {
		sub := subs[k*subscriptionSize:]
		if sub[8] != eventClock {
			return i.event(s[3], events, sub, wasiNotSup)
		}
		if d := i.sleepOf(sub); first < 0 || d < wait {
			first, wait = k, d
		}
	}
	i.sleep(wait)
	return i.event(s[3], events, subs[first*subscriptionSize:], wasiOK)
}

// sleepOf returns how long a subscription to a clock asks to wait: at most
// maxTTL, and nothing when its time has passed. A clock's time is unsigned.
func (i *instance) sleepOf(sub []byte) time.Duration {
	timeout, now := binary.LittleEndian.Uint64(sub[24:]), uint64(0)
	if sub[40]&flagAbsolute != 0 {
		now = uint64(time.Since(i.born))
		if binary.LittleEndian.Uint32(sub[16:]) == clockRealtime {
			now = uint64(i.stage.clock.Now().UnixNano())
		}
	}
	return time.Duration(min(max(timeout, now)-now, uint64(maxTTL)))
}

// sleep waits for d or until the call is stopped.
func (i *instance) sleep(d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-i.watch.wake:
		panic(errStopped)
	}
}

// event writes one event about sub and the number of events.
func (i *instance) event(count uint64, events, sub []byte, errno uint16) uint32 {
	clear(events[:eventSize])
	copy(events[:8], sub[:8]) // the guest's own mark
	binary.LittleEndian.PutUint16(events[8:], errno)
	events[10] = sub[8]
	i.putU32(count, 1)
	return wasiOK
}
