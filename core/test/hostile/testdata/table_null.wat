;; SPDX-License-Identifier: Apache-2.0
;;
;; table_null: calls an element of a table that it has emptied.
(module
  (memory (export "memory") 1)
  (type $t (func))
  (table $t0 1 funcref)
  (elem (i32.const 0) $f)
  (func $f)
  (func (export "pr_on") (param $phase i32) (param $arg i32) (result i32)
    (table.set $t0 (i32.const 0) (ref.null func))
    (call_indirect (type $t) (i32.const 0))
    (i32.const 0))
  (func (export "pr_init") (result i64)
    (i64.const 0x810f07ff)))
