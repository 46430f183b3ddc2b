;; SPDX-License-Identifier: Apache-2.0
;;
;; bulk_beyond: fills 4 GiB of a memory of 64 KiB.
(module
  (memory (export "memory") 1)
  (func (export "pr_on") (param $phase i32) (param $arg i32) (result i32)
    (memory.fill (i32.const 16) (i32.const 1) (i32.const -1))
    (i32.const 0))
  (func (export "pr_init") (result i64)
    (i64.const 0x810f07ff)))
