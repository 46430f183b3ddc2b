;; SPDX-License-Identifier: Apache-2.0
;;
;; verdict_lowest: returns the lowest number that there is as its verdict.
(module
  (memory (export "memory") 1)
  (func (export "pr_on") (param $phase i32) (param $arg i32) (result i32)
    (i32.const 0x80000000))
  (func (export "pr_init") (result i64)
    (i64.const 0x810f07ff)))
