;; SPDX-License-Identifier: Apache-2.0
;;
;; loop_nested: eight counters inside of each other: the end is finite and never comes.
(module
  (memory (export "memory") 1)
  (func (export "pr_on") (param $phase i32) (param $arg i32) (result i32)
    (local $c0 i32) (local $c1 i32) (local $c2 i32) (local $c3 i32) (local $c4 i32) (local $c5 i32) (local $c6 i32) (local $c7 i32)
    (loop $l0
    (loop $l1
    (loop $l2
    (loop $l3
    (loop $l4
    (loop $l5
    (loop $l6
    (loop $l7
      (br_if $l7 (local.tee $c7 (i32.add (local.get $c7) (i32.const 1)))))
      (br_if $l6 (local.tee $c6 (i32.add (local.get $c6) (i32.const 1)))))
      (br_if $l5 (local.tee $c5 (i32.add (local.get $c5) (i32.const 1)))))
      (br_if $l4 (local.tee $c4 (i32.add (local.get $c4) (i32.const 1)))))
      (br_if $l3 (local.tee $c3 (i32.add (local.get $c3) (i32.const 1)))))
      (br_if $l2 (local.tee $c2 (i32.add (local.get $c2) (i32.const 1)))))
      (br_if $l1 (local.tee $c1 (i32.add (local.get $c1) (i32.const 1)))))
      (br_if $l0 (local.tee $c0 (i32.add (local.get $c0) (i32.const 1)))))
    (i32.const 0))
  (func (export "pr_init") (result i64)
    (i64.const 0x810f07ff)))
