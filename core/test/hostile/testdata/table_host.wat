;; SPDX-License-Identifier: Apache-2.0
;;
;; table_host: puts host functions into a table and calls them with the arguments of others.
(module
  (import "postroad_v1" "config" (func $config (param i32 i32) (result i32)))
  (import "postroad_v1" "rcpt_add" (func $rcpt_add (param i32 i32) (result i32)))
  (import "postroad_v1" "random" (func $random (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (type $t (func (param i32 i32) (result i32)))
  (table 3 funcref)
  (elem (i32.const 0) $config $rcpt_add $random)
  (func (export "pr_on") (param $phase i32) (param $arg i32) (result i32)
    (if (i32.lt_s (call_indirect (type $t) (i32.const 0) (i32.const 64) (i32.const 0)) (i32.const 0)) (then (unreachable)))
    (if (i32.ge_s (call_indirect (type $t) (i32.const 0) (i32.const 8) (i32.const 1)) (i32.const 0)) (then (unreachable)))
    (drop (call_indirect (type $t) (i32.const 0x10000) (i32.const 1) (i32.const 2)))
    (i32.const 0))
  (func (export "pr_init") (result i64)
    (i64.const 0x810f07ff)))
