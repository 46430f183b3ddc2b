;; SPDX-License-Identifier: Apache-2.0
;;
;; trap_memory: loads beyond the end of its memory.
;; when: hook
;; cause: trap
(module
  (memory (export "memory") 1)
  (func (export "pr_init") (result i64)
    (i64.const 512))
  (func (export "pr_on") (param $phase i32) (param $arg i32) (result i32)
    (i32.load (i32.const -4))))
