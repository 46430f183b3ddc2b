;; SPDX-License-Identifier: Apache-2.0
;;
;; loop_init: runs for ever in pr_init.
;; when: init
;; cause: fuel
(module
  (memory (export "memory") 1)
  (func (export "pr_init") (result i64)
    (loop $l (br $l))
    (i64.const 512))
  (func (export "pr_on") (param $phase i32) (param $arg i32) (result i32)
    (i32.const 0)))
