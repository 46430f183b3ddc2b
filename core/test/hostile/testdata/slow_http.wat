;; SPDX-License-Identifier: Apache-2.0
;;
;; slow_http: asks a web server that never answers, by the URL of its secret, without end.
(module
  (import "postroad_v1" "secret" (func $secret (param i32 i32 i32 i32) (result i32)))
  (import "postroad_v1" "http" (func $http (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "url")
  (func (export "pr_on") (param $phase i32) (param $arg i32) (result i32) (local $n i32)
    (local.set $n (call $secret (i32.const 0) (i32.const 3) (i32.const 70) (i32.const 1024)))
    (i32.store16 (i32.const 64) (i32.const 2))
    (i32.store (i32.const 66) (local.get $n))
    (loop $l
      (if (i32.ge_s (call $http (i32.const 64) (i32.add (local.get $n) (i32.const 6)) (i32.const 2048) (i32.const 16)) (i32.const 0)) (then (unreachable)))
      (br $l))
    (i32.const 0))
  (func (export "pr_init") (result i64)
    (i64.const 0x810f07ff)))
