;; SPDX-License-Identifier: Apache-2.0
;;
;; later: takes SIZE off the EHLO list, asks for the address of a.test, and has a request made when a
;; message is committed. What a function of the host refuses is an error of the hook.
(module
  (import "postroad_v1" "ehlo_set" (func $ehlo_set (param i32 i32 i32) (result i32)))
  (import "postroad_v1" "http" (func $http (param i32 i32 i32 i32) (result i32)))
  (import "postroad_v1" "dns" (func $dns (param i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "SIZE")
  (data (i32.const 16) "\02\00\12\00\00\00http://hook.test/x" "\06\00\00\00\00\00")
  (data (i32.const 64) "a.test")
  (func (export "pr_init") (result i64)
    ;; helo 2, message 9
    (i64.const 0x204))
  (func (export "pr_on") (param $phase i32) (param $arg i32) (result i32)
    (if (i32.eq (local.get $phase) (i32.const 2))
      (then (return (call $ehlo_set (i32.const 0) (i32.const 0) (i32.const 4)))))
    (if (i32.lt_s (call $dns (i32.const 1) (i32.const 64) (i32.const 6) (i32.const 128) (i32.const 200)) (i32.const 0))
      (then (return (i32.const -1))))
    (call $http (i32.const 16) (i32.const 30) (i32.const 0) (i32.const 0))))
