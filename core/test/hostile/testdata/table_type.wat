;; SPDX-License-Identifier: Apache-2.0
;;
;; table_type: calls an element of a table as if it had another type.
(module
  (memory (export "memory") 1)
  (type $t (func (param i64) (result i64)))
  (table 1 funcref)
  (elem (i32.const 0) $f)
  (func $f)
  (func (export "pr_on") (param $phase i32) (param $arg i32) (result i32)
    (drop (call_indirect (type $t) (i64.const 1) (i32.const 0)))
    (i32.const 0))
  (func (export "pr_init") (result i64)
    (i64.const 0x810f07ff)))
