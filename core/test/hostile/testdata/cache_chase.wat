;; SPDX-License-Identifier: Apache-2.0
;;
;; cache_chase: follows pointers through 16 MiB, so that each step waits for memory.
(module
  (memory (export "memory") 256)
  (func (export "pr_on") (param $phase i32) (param $arg i32) (result i32) (local $p i32)
    (loop $l
      (local.set $p (i32.and (i32.add (i32.mul (i32.add (local.get $p) (i32.load (local.get $p))) (i32.const 1664525)) (i32.const 1013904223)) (i32.const 0xfffffc)))
      (i32.store (local.get $p) (i32.add (local.get $p) (i32.const 64)))
      (br $l))
    (i32.const 0))
  (func (export "pr_init") (result i64)
    (i64.const 0x810f07ff)))
