;; SPDX-License-Identifier: Apache-2.0
;;
;; unknown_module: imports from another host's module.
;; error: from module "env", which this host does not have
(module (import "env" "abort" (func)) (memory (export "memory") 1) (func (export "pr_init") (result i64) (i64.const 16)) (func (export "pr_on") (param i32 i32) (result i32) (i32.const 0)))
