;; SPDX-License-Identifier: Apache-2.0
;;
;; trap_init: executes unreachable in pr_init.
;; when: init
;; cause: trap
(module
  (memory (export "memory") 1)
  (func (export "pr_init") (result i64)
    (unreachable))
  (func (export "pr_on") (param $phase i32) (param $arg i32) (result i32)
    (i32.const 0)))
