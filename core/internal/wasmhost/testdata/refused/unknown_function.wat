;; SPDX-License-Identifier: Apache-2.0
;;
;; unknown_function: imports a function that no host has.
;; error: it imports postroad_v1.no_such, which Postroad does not know
(module (import "postroad_v1" "no_such" (func)) (memory (export "memory") 1) (func (export "pr_init") (result i64) (i64.const 16)) (func (export "pr_on") (param i32 i32) (result i32) (i32.const 0)))
