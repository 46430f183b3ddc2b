;; SPDX-License-Identifier: Apache-2.0
;;
;; deadline: waits for memory rather than for the processor. It takes longer than its
;; deadline on less fuel than most loops; give it 10,000,000,000 units or more.
;; when: hook
;; cause: deadline
(module
  (memory (export "memory") 256)
  (func (export "pr_init") (result i64)
    (i64.const 512))
  (func (export "pr_on") (param $phase i32) (param $arg i32) (result i32)
    (local $x i32)
    (loop $l
      (local.set $x (i32.add (i32.mul (local.get $x) (i32.const 1664525)) (i32.const 1013904223)))
      (i32.store8 (i32.and (local.get $x) (i32.const 0xffffff))
        (i32.load8_u (i32.and (i32.shr_u (local.get $x) (i32.const 3)) (i32.const 0xffffff))))
      (br $l))
    (i32.const 0)))
