;; SPDX-License-Identifier: Apache-2.0
;;
;; command_line: a command whose first line never ends.
;; when: hook
;; cause: error
(module
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 16)
  (data (i32.const 0) "\00\04\00\00\00\00\01\00")
  (data (i32.const 1024) "")
  (func (export "_start")
    (loop $l (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16))) (br $l))))
