;; SPDX-License-Identifier: Apache-2.0
;;
;; copy: copies half a MiB of memory again and again.
;; when: hook
;; cause: fuel
(module
  (memory (export "memory") 16)
  (func (export "pr_init") (result i64)
    (i64.const 512))
  (func (export "pr_on") (param $phase i32) (param $arg i32) (result i32)
    (loop $l
      (memory.copy (i32.const 0) (i32.const 524288) (i32.const 524288))
      (br $l))
    (i32.const 0)))
