;; SPDX-License-Identifier: Apache-2.0
;;
;; error_logged: says in its log why it cannot start.
;; when: init
;; cause: error
(module
  (import "postroad_v1" "log" (func $log (param i32 i32 i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "key `delay` is missing; give a duration")
  (func (export "pr_init") (result i64)
    (call $log (i32.const 4) (i32.const 0) (i32.const 39))
    (i64.const -3))
  (func (export "pr_on") (param i32 i32) (result i32) (i32.const 0)))
