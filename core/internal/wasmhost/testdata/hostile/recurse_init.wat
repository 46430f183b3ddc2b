;; SPDX-License-Identifier: Apache-2.0
;;
;; recurse_init: calls itself without end in pr_init.
;; when: init
;; cause: depth
(module
  (memory (export "memory") 1)
  (func $down (result i64) (i64.add (call $down) (i64.const 1)))
  (func (export "pr_init") (result i64)
    (call $down))
  (func (export "pr_on") (param $phase i32) (param $arg i32) (result i32)
    (i32.const 0)))
