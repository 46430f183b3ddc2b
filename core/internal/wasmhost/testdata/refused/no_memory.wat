;; SPDX-License-Identifier: Apache-2.0
;;
;; no_memory: has no memory.
;; error: does not export the memory memory
(module (func (export "pr_init") (result i64) (i64.const 16)) (func (export "pr_on") (param i32 i32) (result i32) (i32.const 0)))
