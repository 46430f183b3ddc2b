;; SPDX-License-Identifier: Apache-2.0
;;
;; metric_series: makes a new series of a figure with each call, by the clock.
(module
  (import "postroad_v1" "random" (func $random (param i32 i32) (result i32)))
  (import "postroad_v1" "metric" (func $metric (param i32 i32 i32 i64) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "seen;id=00000000")
  (func (export "pr_on") (param $phase i32) (param $arg i32) (result i32) (local $n i32)
    (drop (call $random (i32.const 8) (i32.const 8)))
    (i64.store (i32.const 8) (i64.add (i64.and (i64.load (i32.const 8)) (i64.const 0x0f0f0f0f0f0f0f0f)) (i64.const 0x6161616161616161)))
    (loop $l
      (i64.store (i32.const 8) (i64.xor (i64.load (i32.const 8)) (i64.shl (i64.and (i64.extend_i32_u (local.get $n)) (i64.const 7)) (i64.const 24))))
      (drop (call $metric (i32.const 0) (i32.const 0) (i32.const 16) (i64.const 1)))
      (br_if $l (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 90))))
    (i32.const 0))
  (func (export "pr_init") (result i64)
    (i64.const 0x810f07ff)))
