;; SPDX-License-Identifier: Apache-2.0
;;
;; slow_dns: asks for names whose server never answers, without end.
(module
  (import "postroad_v1" "dns" (func $dns (param i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "never.test")
  (func (export "pr_on") (param $phase i32) (param $arg i32) (result i32)
    (loop $l
      (drop (call $dns (i32.const 1) (i32.const 0) (i32.const 10) (i32.const 64) (i32.const 1024)))
      (br $l))
    (i32.const 0))
  (func (export "pr_init") (result i64)
    (i64.const 0x810f07ff)))
