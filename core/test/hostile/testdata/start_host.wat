;; SPDX-License-Identifier: Apache-2.0
;;
;; start_host: uses the host in the start section, when there is no message: it is told no.
(module
  (import "postroad_v1" "hdr_add" (func $hdr_add (param i32 i32 i32 i32 i32) (result i32)))
  (import "postroad_v1" "reply" (func $reply (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "X-Early")
  (start $s)
  (func $s
    (if (i32.ne (call $hdr_add (i32.const 0) (i32.const 0) (i32.const 7) (i32.const 0) (i32.const 7)) (i32.const -4)) (then (unreachable)))
    (if (i32.ne (call $reply (i32.const 550) (i32.const 0) (i32.const 0) (i32.const 7)) (i32.const -4)) (then (unreachable))))
  (func (export "pr_on") (param $phase i32) (param $arg i32) (result i32) (i32.const 0))
  (func (export "pr_init") (result i64)
    (i64.const 0x810f07ff)))
