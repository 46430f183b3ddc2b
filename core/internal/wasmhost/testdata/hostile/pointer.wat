;; SPDX-License-Identifier: Apache-2.0
;;
;; pointer: hands the host a pointer beyond the end of its memory.
;; when: hook
;; cause: trap
(module
  (import "postroad_v1" "log" (func $log (param i32 i32 i32)))
  (memory (export "memory") 1)
  (func (export "pr_init") (result i64)
    (i64.const 512))
  (func (export "pr_on") (param $phase i32) (param $arg i32) (result i32)
    (call $log (i32.const 1) (i32.const 0x7fffff00) (i32.const 64))
    (i32.const 0)))
