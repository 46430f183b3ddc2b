;; SPDX-License-Identifier: Apache-2.0
;;
;; unknown_wasi: imports what is not WASI preview 1.
;; error: it imports wasi_snapshot_preview1.sock_open, which is not a function of WASI preview 1
(module (import "wasi_snapshot_preview1" "sock_open" (func (param i32 i32 i32) (result i32))) (memory (export "memory") 1) (func (export "pr_init") (result i64) (i64.const 16)) (func (export "pr_on") (param i32 i32) (result i32) (i32.const 0)))
