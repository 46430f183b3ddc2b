;; SPDX-License-Identifier: Apache-2.0
;;
;; start_grow: takes all memory in the start section and fails.
(module
  (memory (export "memory") 1)
  (start $s)
  (func $s (loop $l (br_if $l (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) (unreachable))
  (func (export "pr_on") (param $phase i32) (param $arg i32) (result i32) (i32.const 0))
  (func (export "pr_init") (result i64)
    (i64.const 0x810f07ff)))
