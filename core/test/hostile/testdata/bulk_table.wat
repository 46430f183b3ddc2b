;; SPDX-License-Identifier: Apache-2.0
;;
;; bulk_table: fills and copies a table of 50,000 elements without end.
(module
  (memory (export "memory") 1)
  (table $t 50000 funcref)
  (func $f)
  (elem declare func $f)
  (func (export "pr_on") (param $phase i32) (param $arg i32) (result i32)
    (loop $l
      (table.fill $t (i32.const 0) (ref.func $f) (i32.const 50000))
      (table.copy $t $t (i32.const 1) (i32.const 0) (i32.const 49999))
      (br $l))
    (i32.const 0))
  (func (export "pr_init") (result i64)
    (i64.const 0x810f07ff)))
