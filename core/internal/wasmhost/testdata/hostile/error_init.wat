;; SPDX-License-Identifier: Apache-2.0
;;
;; error_init: refuses in pr_init.
;; when: init
;; cause: error
(module
  (memory (export "memory") 1)
  (func (export "pr_init") (result i64)
    (i64.const -3))
  (func (export "pr_on") (param $phase i32) (param $arg i32) (result i32)
    (i32.const 0)))
