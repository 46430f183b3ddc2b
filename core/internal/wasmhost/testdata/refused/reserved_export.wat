;; SPDX-License-Identifier: Apache-2.0
;;
;; reserved_export: exports the name that the host gives to start functions.
;; error: it exports the reserved name postroad.start
(module (memory (export "memory") 1) (func $s (export "postroad.start")) (start $s) (func (export "pr_init") (result i64) (i64.const 16)) (func (export "pr_on") (param i32 i32) (result i32) (i32.const 0)))
