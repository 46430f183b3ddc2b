;; SPDX-License-Identifier: Apache-2.0
;;
;; host_loop: calls a cheap host function without end.
;; when: hook
;; cause: fuel
(module
  (import "postroad_v1" "get_int" (func $get_int (param i32 i32) (result i64)))
  (memory (export "memory") 1)
  (func (export "pr_init") (result i64)
    (i64.const 512))
  (func (export "pr_on") (param $phase i32) (param $arg i32) (result i32)
    (loop $l (drop (call $get_int (i32.const 24) (i32.const 0))) (br $l))
    (i32.const 0)))
