;; SPDX-License-Identifier: Apache-2.0
;;
;; command_stdout: a command that writes a body without an end.
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 16)
  (func $write (param $p i32) (param $n i32)
    (i32.store (i32.const 0) (local.get $p))
    (i32.store (i32.const 4) (local.get $n))
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16))))
  (data (i32.const 32) "{\22body\22:\22replace\22}\0aSubject: x\0d\0a\0d\0a")
  (func (export "_start")
    (call $write (i32.const 32) (i32.const 34))
    (memory.fill (i32.const 1024) (i32.const 97) (i32.const 65536))
    (loop $l (call $write (i32.const 1024) (i32.const 65536)) (br $l))))
