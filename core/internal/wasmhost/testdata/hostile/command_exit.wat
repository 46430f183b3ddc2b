;; SPDX-License-Identifier: Apache-2.0
;;
;; command_exit: a command that exits with 1.
;; when: hook
;; cause: exit
(module
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 16)
  (data (i32.const 0) "\00\04\00\00\00\00\01\00")
  (data (i32.const 1024) "")
  (func (export "_start")
    (call $proc_exit (i32.const 1))))
