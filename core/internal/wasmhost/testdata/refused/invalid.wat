;; SPDX-License-Identifier: Apache-2.0
;;
;; invalid: adds an i64 to an i32.
;; error: it is not a valid WebAssembly 2.0 module
(module (memory (export "memory") 1) (func (export "pr_init") (result i64) (i64.const 16)) (func (export "pr_on") (param i32 i32) (result i32) (i32.add (local.get 0) (i64.const 1))))
