;; SPDX-License-Identifier: Apache-2.0
;;
;; loop: runs for ever in the hook.
;; when: hook
;; cause: fuel
(module
  (memory (export "memory") 1)
  (func (export "pr_init") (result i64)
    (i64.const 512))
  (func (export "pr_on") (param $phase i32) (param $arg i32) (result i32)
    (loop $l (br $l))
    (i32.const 0)))
