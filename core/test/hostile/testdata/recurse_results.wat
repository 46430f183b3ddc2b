;; SPDX-License-Identifier: Apache-2.0
;;
;; recurse_results: calls itself without end, for twenty results.
(module
  (memory (export "memory") 1)
  (func $f (result i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 )
    (call $f))
  (func (export "pr_on") (param $phase i32) (param $arg i32) (result i32)
    (call $f)
    (drop) (drop) (drop) (drop) (drop) (drop) (drop) (drop) (drop) (drop) (drop) (drop) (drop) (drop) (drop) (drop) (drop) (drop) (drop) (drop) 
    (i32.const 0))
  (func (export "pr_init") (result i64)
    (i64.const 0x810f07ff)))
