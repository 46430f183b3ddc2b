;; SPDX-License-Identifier: Apache-2.0
;;
;; cat: a command that writes what it reads, 60,000 octets at a time in two vectors.
(module
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (func (export "_start")
    (block $end
      (loop $more
        (i32.store (i32.const 0) (i32.const 1024))
        (i32.store (i32.const 4) (i32.const 10000))
        (i32.store (i32.const 8) (i32.const 11024))
        (i32.store (i32.const 12) (i32.const 50000))
        (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 2) (i32.const 16)))
        (br_if $end (i32.eqz (i32.load (i32.const 16))))
        (i32.store (i32.const 4) (i32.load (i32.const 16)))
        (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 20)))
        (br $more)))))
