// SPDX-License-Identifier: Apache-2.0

//go:build wasip1

// goguest is a plugin by the standard Go compiler without an SDK: in phase
// message it makes garbage as long as the message is, in phase rcpt it panics.
package main

import (
	"runtime"
	"strings"
	"unsafe"
)

//go:wasmimport postroad_v1 msg_read
func msgRead(view int32, off int64, b unsafe.Pointer, c int32) int32

//go:wasmimport postroad_v1 hdr_add
func hdrAdd(pos int32, np unsafe.Pointer, nn int32, vp unsafe.Pointer, vn int32) int32

//go:wasmexport pr_init
func prInit() int64 { return 1<<5 | 1<<9 }

//go:wasmexport pr_on
func prOn(phase, arg int32) int32 {
	runtime.Gosched() // lets the garbage collector finish
	if phase == 5 {
		panic("no recipients, please")
	}
	buf := make([]byte, 64<<10)
	n := msgRead(0, 0, unsafe.Pointer(&buf[0]), int32(len(buf)))
	words := strings.Fields(string(buf[:n]))
	name, value := []byte("X-First"), []byte(words[0])
	if hdrAdd(-1, unsafe.Pointer(&name[0]), int32(len(name)), unsafe.Pointer(&value[0]), int32(len(value))) < 0 {
		return -1
	}
	return 0
}

func main() {}
