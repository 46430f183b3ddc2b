;; SPDX-License-Identifier: Apache-2.0
;;
;; loop_trampoline: two functions that return and are called again in turns: never deep, never
;; done.
(module
  (memory (export "memory") 1)
  (func $ping (param $x i32) (result i32) (i32.add (local.get $x) (i32.const 1)))
  (func $pong (param $x i32) (result i32) (i32.sub (local.get $x) (i32.const 1)))
  (func (export "pr_on") (param $phase i32) (param $arg i32) (result i32) (local $x i32)
    (loop $l
      (local.set $x (call $pong (call $ping (local.get $x))))
      (br_if $l (i32.eqz (local.get $x))))
    (i32.const 0))
  (func (export "pr_init") (result i64)
    (i64.const 0x810f07ff)))
