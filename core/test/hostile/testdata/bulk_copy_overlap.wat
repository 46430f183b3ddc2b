;; SPDX-License-Identifier: Apache-2.0
;;
;; bulk_copy_overlap: copies memory onto itself, one octet further, without end.
(module
  (memory (export "memory") 1)
  (func (export "pr_on") (param $phase i32) (param $arg i32) (result i32)
    (loop $l
      (memory.copy (i32.const 1) (i32.const 0) (i32.const 0xfff0))
      (br $l))
    (i32.const 0))
  (func (export "pr_init") (result i64)
    (i64.const 0x810f07ff)))
