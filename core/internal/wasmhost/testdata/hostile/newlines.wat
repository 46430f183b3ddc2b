;; SPDX-License-Identifier: Apache-2.0
;;
;; newlines: writes 32 GB of line ends to its standard output with one call, out
;; of 31 MB.
;; when: hook
;; cause: fuel
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 500)
  (func (export "pr_init") (result i64)
    (i64.const 512))
  (func (export "pr_on") (param $phase i32) (param $arg i32) (result i32)
    (local $i i32)
    (memory.fill (i32.const 16384) (i32.const 10) (i32.const 32000000))
    (loop $l
      (i32.store (i32.shl (local.get $i) (i32.const 3)) (i32.const 16384))
      (i32.store offset=4 (i32.shl (local.get $i) (i32.const 3)) (i32.const 32000000))
      (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 1024))))
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1024) (i32.const 16380)))
    (i32.const 0)))
