;; SPDX-License-Identifier: Apache-2.0
;;
;; stale: remembers addresses, handles and ids of one call and uses them in the next.
(module
  (import "postroad_v1" "random" (func $random (param i32 i32) (result i32)))
  (import "postroad_v1" "http_read" (func $http_read (param i32 i64 i32 i32) (result i32)))
  (import "postroad_v1" "use" (func $use (param i32) (result i32)))
  (import "postroad_v1" "hdr_get" (func $hdr_get (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "X-Stale")
  (global $calls (mut i32) (i32.const 0))
  (func (export "pr_on") (param $phase i32) (param $arg i32) (result i32)
    (if (i32.eqz (global.get $calls))
      (then
        (drop (call $random (i32.const 0x8000) (i32.const 64)))
        (memory.copy (i32.const 0x9000) (i32.const 0x8000) (i32.const 64)))
      (else
        (if (i64.ne (i64.load (i32.const 0x8000)) (i64.load (i32.const 0x9000))) (then (unreachable)))
        (if (i32.ne (call $http_read (i32.const 0) (i64.const 0) (i32.const 64) (i32.const 64)) (i32.const -3)) (then (unreachable)))
        (if (i32.ge_s (call $use (i32.const 1)) (i32.const 0)) (then (unreachable)))
        (if (i32.ge_s (call $hdr_get (i32.const 0x7fffffff) (i32.const 1) (i32.const 64) (i32.const 64)) (i32.const 0)) (then (unreachable)))))
    (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
    (i32.const 0))
  (func (export "pr_init") (result i64)
    (i64.const 0x810f07ff)))
