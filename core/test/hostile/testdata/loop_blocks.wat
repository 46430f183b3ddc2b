;; SPDX-License-Identifier: Apache-2.0
;;
;; loop_blocks: leaves forty blocks at once to the loop around them.
(module
  (memory (export "memory") 1)
  (func (export "pr_on") (param $phase i32) (param $arg i32) (result i32)
    (loop $l
    (block   (block   (block   (block   (block   (block   (block   (block   (block   (block   (block   (block   (block   (block   (block   (block   (block   (block   (block   (block   (block   (block   (block   (block   (block   (block   (block   (block   (block   (block   (block   (block   (block   (block   (block   (block   (block   (block   (block   (block 
      (br $l))))))))))))))))))))))))))))))))))))))))))
    (i32.const 0))
  (func (export "pr_init") (result i64)
    (i64.const 0x810f07ff)))
