;; SPDX-License-Identifier: Apache-2.0
;;
;; loop_float: square roots and divisions, which cost the processor more than they look.
(module
  (memory (export "memory") 1)
  (func (export "pr_on") (param $phase i32) (param $arg i32) (result i32) (local $x f64)
    (loop $l
      (local.set $x (f64.div (f64.sqrt (f64.add (local.get $x) (f64.const 3))) (f64.const 1.0000001)))
      (br $l))
    (i32.const 0))
  (func (export "pr_init") (result i64)
    (i64.const 0x810f07ff)))
