;; SPDX-License-Identifier: Apache-2.0
;;
;; error: returns a negative result.
;; when: hook
;; cause: error
(module
  (memory (export "memory") 1)
  (func (export "pr_init") (result i64)
    (i64.const 512))
  (func (export "pr_on") (param $phase i32) (param $arg i32) (result i32)
    (i32.const -1)))
