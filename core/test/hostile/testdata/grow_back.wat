;; SPDX-License-Identifier: Apache-2.0
;;
;; grow_back: grows to the limit in each call, and says that all is well.
(module
  (memory (export "memory") 1)
  (func (export "pr_on") (param $phase i32) (param $arg i32) (result i32)
    (loop $l
      (br_if $l (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
    (memory.fill (i32.const 0) (i32.const 255) (i32.shl (memory.size) (i32.const 16)))
    (i32.const 0))
  (func (export "pr_init") (result i64)
    (i64.const 0x810f07ff)))
