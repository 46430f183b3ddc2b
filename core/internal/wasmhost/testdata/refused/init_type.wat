;; SPDX-License-Identifier: Apache-2.0
;;
;; init_type: has a pr_init of another type.
;; error: its export pr_init has the type () -> (i32), not () -> (i64)
(module (memory (export "memory") 1) (func (export "pr_on") (param i32 i32) (result i32) (i32.const 0)) (func (export "pr_init") (result i32) (i32.const 0)))
