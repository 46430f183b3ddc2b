;; SPDX-License-Identifier: Apache-2.0
;;
;; pointer_wrap: hands the host a buffer whose end wraps around 32 bits to a valid address.
;; when: hook
;; cause: trap
(module
  (import "postroad_v1" "get" (func $get (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "pr_init") (result i64)
    (i64.const 512))
  (func (export "pr_on") (param $phase i32) (param $arg i32) (result i32)
    (drop (call $get (i32.const 13) (i32.const 0) (i32.const -16) (i32.const 64)))
    (i32.const 0)))
