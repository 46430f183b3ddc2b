;; SPDX-License-Identifier: Apache-2.0
;;
;; import_type: imports a function with another type.
;; error: it imports postroad_v1.now with the type (i32) -> (i64), not () -> (i64)
(module (import "postroad_v1" "now" (func (param i32) (result i64))) (memory (export "memory") 1) (func (export "pr_init") (result i64) (i64.const 16)) (func (export "pr_on") (param i32 i32) (result i32) (i32.const 0)))
