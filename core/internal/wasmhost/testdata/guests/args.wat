;; SPDX-License-Identifier: Apache-2.0
;;
;; args: a command that reads nothing, writes its arguments to standard error, and says nothing.
(module
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $args_sizes_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_get" (func $args_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start") (local $end i32)
    (drop (call $args_sizes_get (i32.const 0) (i32.const 4)))
    (drop (call $args_get (i32.const 64) (i32.const 1024)))
    ;; the second argument, through its pointer, with its NUL as line end
    (i32.store (i32.const 8) (i32.load (i32.const 64)))
    (i32.store (i32.const 12) (i32.load (i32.const 4)))
    (i32.store8 (i32.sub (i32.load (i32.const 68)) (i32.const 1)) (i32.const 47))
    (i32.store8 (i32.add (i32.const 1023) (i32.load (i32.const 4))) (i32.const 10))
    (if (i32.eq (i32.load (i32.const 0)) (i32.const 2))
      (then (drop (call $fd_write (i32.const 2) (i32.const 8) (i32.const 1) (i32.const 16)))))))
