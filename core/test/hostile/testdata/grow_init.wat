;; SPDX-License-Identifier: Apache-2.0
;;
;; grow_init: takes all the memory that it gets while it starts, and touches it.
(module
  (memory (export "memory") 1)
  (func (export "pr_on") (param $phase i32) (param $arg i32) (result i32)
    (i32.const 0))
  (func (export "pr_init") (result i64)
    (loop $l (br_if $l (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
    (unreachable)))
