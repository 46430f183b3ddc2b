;; SPDX-License-Identifier: Apache-2.0
;;
;; no_init: has no pr_init.
;; error: does not export the function pr_init
(module (memory (export "memory") 1) (func (export "pr_on") (param i32 i32) (result i32) (i32.const 0)))
