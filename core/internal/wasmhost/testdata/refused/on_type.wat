;; SPDX-License-Identifier: Apache-2.0
;;
;; on_type: has a pr_on of another type.
;; error: its export pr_on has the type (i32) -> (i32), not (i32 i32) -> (i32)
(module (memory (export "memory") 1) (func (export "pr_init") (result i64) (i64.const 16)) (func (export "pr_on") (param i32) (result i32) (i32.const 0)))
