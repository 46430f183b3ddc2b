;; SPDX-License-Identifier: Apache-2.0
;;
;; bulk_init: copies a data segment into memory without end.
(module
  (memory (export "memory") 1)
  (data $d "boomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboomboom")
  (func (export "pr_on") (param $phase i32) (param $arg i32) (result i32)
    (loop $l
      (memory.init $d (i32.const 0) (i32.const 0) (i32.const 1024))
      (br $l))
    (i32.const 0))
  (func (export "pr_init") (result i64)
    (i64.const 0x810f07ff)))
