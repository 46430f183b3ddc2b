;; SPDX-License-Identifier: Apache-2.0
;;
;; loop_simd: a loop of vectors only.
(module
  (memory (export "memory") 1)
  (func (export "pr_on") (param $phase i32) (param $arg i32) (result i32) (local $x v128)
    (loop $l
      (local.set $x (f64x2.sqrt (f64x2.add (local.get $x) (v128.const f64x2 3 5))))
      (br $l))
    (i32.const 0))
  (func (export "pr_init") (result i64)
    (i64.const 0x810f07ff)))
