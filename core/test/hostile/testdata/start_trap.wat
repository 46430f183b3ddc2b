;; SPDX-License-Identifier: Apache-2.0
;;
;; start_trap: fails in the start section.
(module
  (memory (export "memory") 1)
  (start $s)
  (func $s (unreachable))
  (func (export "pr_on") (param $phase i32) (param $arg i32) (result i32) (i32.const 0))
  (func (export "pr_init") (result i64)
    (i64.const 0x810f07ff)))
