;; SPDX-License-Identifier: Apache-2.0
;;
;; command_ops: a command that answers with 30,000 edits in one line.
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 16)
  (func $write (param $p i32) (param $n i32)
    (i32.store (i32.const 0) (local.get $p))
    (i32.store (i32.const 4) (local.get $n))
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16))))
  (data (i32.const 32) "{\22ops\22:[")
  (data (i32.const 48) "{\22op\22:\22hdr_del\22,\22id\22:9},")
  (func (export "_start") (local $i i32)
    (call $write (i32.const 32) (i32.const 8))
    (loop $l
      (call $write (i32.const 48) (i32.const 24))
      (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 30000))))))
