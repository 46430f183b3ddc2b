;; SPDX-License-Identifier: Apache-2.0
;;
;; global_reference: an image of memory and globals would not be all that it is.
;; has: a mutable global that is no number
(module
  (memory (export "memory") 1)
  (table $t 4 8 funcref)
  (elem $e func $f)
  (data $d "x")
  (global (mut funcref) (ref.func $f))
  (func $f)
  (func (export "pr_init") (result i64) (i64.const 16))
  (func (export "pr_on") (param i32 i32) (result i32)
    (nop)
    (i32.const 0)))
