;; SPDX-License-Identifier: Apache-2.0
;;
;; loop_br_table: a loop whose way back is the default of a branch table.
(module
  (memory (export "memory") 1)
  (func (export "pr_on") (param $phase i32) (param $arg i32) (result i32)
    (loop $l
      (block $out
        (br_table $out $l (i32.const 7))))
    (i32.const 0))
  (func (export "pr_init") (result i64)
    (i64.const 0x810f07ff)))
