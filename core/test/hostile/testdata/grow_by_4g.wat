;; SPDX-License-Identifier: Apache-2.0
;;
;; grow_by_4g: asks for 4 GiB at once, again and again.
(module
  (memory (export "memory") 1)
  (func (export "pr_on") (param $phase i32) (param $arg i32) (result i32)
    (loop $l
      (drop (memory.grow (i32.const 65535)))
      (br $l))
    (i32.const 0))
  (func (export "pr_init") (result i64)
    (i64.const 0x810f07ff)))
