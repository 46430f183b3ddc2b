;; SPDX-License-Identifier: Apache-2.0
;;
;; table_init: an image of memory and globals would not be all that it is.
;; has: table.init
(module
  (memory (export "memory") 1)
  (table $t 4 8 funcref)
  (elem $e func $f)
  (data $d "x")
  
  (func $f)
  (func (export "pr_init") (result i64) (i64.const 16))
  (func (export "pr_on") (param i32 i32) (result i32)
    (block (loop (table.init $t $e (i32.const 0) (i32.const 0) (i32.const 1))))
    (i32.const 0)))
