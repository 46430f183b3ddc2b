;; SPDX-License-Identifier: Apache-2.0
;;
;; loop_divide: integer division without end.
(module
  (memory (export "memory") 1)
  (func (export "pr_on") (param $phase i32) (param $arg i32) (result i32) (local $x i64)
    (local.set $x (i64.const 0x7fffffffffffffff))
    (loop $l
      (local.set $x (i64.or (i64.div_u (local.get $x) (i64.or (local.get $x) (i64.const 3))) (i64.const 0x7ffffffffffffff1)))
      (br $l))
    (i32.const 0))
  (func (export "pr_init") (result i64)
    (i64.const 0x810f07ff)))
