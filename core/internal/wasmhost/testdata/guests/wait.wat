;; SPDX-License-Identifier: Apache-2.0
;;
;; wait: takes a token of bucket "gate" in each hook, so that a test can hold it there.
(module
  (import "postroad_v1" "bucket" (func $bucket (param i32 i32) (result i32)))
  (import "postroad_v1" "rate_take" (func $rate_take (param i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "gate")
  (func (export "pr_init") (result i64) (i64.const 560))
  (func (export "pr_on") (param $phase i32) (param $arg i32) (result i32)
    (drop (call $rate_take (call $bucket (i32.const 0) (i32.const 4)) (i32.const 0) (i32.const 1) (i32.const 1) (i32.const 8)))
    (i32.const 0)))
