;; SPDX-License-Identifier: Apache-2.0
;;
;; verdict_phase: returns skip (7), which is no verdict of the message phase.
;; when: hook
;; cause: verdict
(module
  (memory (export "memory") 1)
  (func (export "pr_init") (result i64)
    (i64.const 512))
  (func (export "pr_on") (param $phase i32) (param $arg i32) (result i32)
    (i32.const 7)))
