;; SPDX-License-Identifier: Apache-2.0
;;
;; no_on: has no pr_on.
;; error: does not export the function pr_on
(module (memory (export "memory") 1) (func (export "pr_init") (result i64) (i64.const 16)))
