;; SPDX-License-Identifier: Apache-2.0
;;
;; reenter_exports: calls its own pr_init, pr_on and pr_close from pr_on, ever deeper.
(module
  (memory (export "memory") 1)
  (func $close (export "pr_close"))
  (func $init (export "pr_init") (result i64) (i64.const 0x810f07ff))
  (func $on (export "pr_on") (param $phase i32) (param $arg i32) (result i32)
    (drop (call $init))
    (call $close)
    (call $on (local.get $phase) (local.get $arg))))
