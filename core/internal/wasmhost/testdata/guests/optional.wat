;; SPDX-License-Identifier: Apache-2.0
;;
;; optional: imports dkim_sign, which its manifest calls optional, and calls it in phase rcpt.
(module
  (import "postroad_v1" "dkim_sign" (func $sign (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "pr_init") (result i64) (i64.const 48))
  (func (export "pr_on") (param $phase i32) (param $arg i32) (result i32)
    (if (i32.eq (local.get $phase) (i32.const 5))
      (then (drop (call $sign (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))))
    (i32.const 0)))
