;; SPDX-License-Identifier: Apache-2.0
;;
;; vector: adds up its memory for ever, in registers alone.
;; when: hook
;; cause: deadline
(module
  (memory (export "memory") 1)
  (func (export "pr_init") (result i64) (i64.const 560))
  (func (export "pr_on") (param i32 i32) (result i32) (local $x v128)
    (loop $l
      (local.set $x (i8x16.add (local.get $x) (v128.load (i32.const 64))))
      (br $l))
    (unreachable)))
