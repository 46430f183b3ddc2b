;; SPDX-License-Identifier: Apache-2.0
;;
;; data_drop: an image of memory and globals would not be all that it is.
;; has: data.drop
(module
  (memory (export "memory") 1)
  (table $t 4 8 funcref)
  (elem $e func $f)
  (data $d "x")
  
  (func $f)
  (func (export "pr_init") (result i64) (i64.const 16))
  (func (export "pr_on") (param i32 i32) (result i32)
    (block (loop (data.drop $d)))
    (i32.const 0)))
