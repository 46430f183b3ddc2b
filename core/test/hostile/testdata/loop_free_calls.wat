;; SPDX-License-Identifier: Apache-2.0
;;
;; loop_free_calls: calls the host functions that cost nothing, in turns and without end.
(module
  (import "postroad_v1" "now" (func $now (result i64)))
  (import "postroad_v1" "log_on" (func $log_on (param i32) (result i32)))
  (import "postroad_v1" "get_int" (func $get_int (param i32 i32) (result i64)))
  (memory (export "memory") 1)
  (func (export "pr_on") (param $phase i32) (param $arg i32) (result i32)
    (loop $l
      (drop (call $now))
      (drop (call $log_on (i32.const 0)))
      (drop (call $get_int (i32.const 50) (i32.const 0)))
      (br $l))
    (i32.const 0))
  (func (export "pr_init") (result i64)
    (i64.const 0x810f07ff)))
