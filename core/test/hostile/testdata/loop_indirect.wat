;; SPDX-License-Identifier: Apache-2.0
;;
;; loop_indirect: calls an empty function through a table without end.
(module
  (memory (export "memory") 1)
  (type $t (func))
  (table 1 funcref)
  (elem (i32.const 0) $nothing)
  (func $nothing)
  (func (export "pr_on") (param $phase i32) (param $arg i32) (result i32)
    (loop $l
      (call_indirect (type $t) (i32.const 0))
      (br $l))
    (i32.const 0))
  (func (export "pr_init") (result i64)
    (i64.const 0x810f07ff)))
