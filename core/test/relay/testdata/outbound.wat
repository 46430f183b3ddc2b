;; SPDX-License-Identifier: Apache-2.0
;;
;; outbound: a guest in all phases of delivery, and in tick. The first attempt goes by the route
;; "other"; each attempt carries the header field X-Guest; after a 451 the next one comes in five
;; seconds; there are no reports; tick emits a message.
(module
  (import "postroad_v1" "get_int" (func $get_int (param i32 i32) (result i64)))
  (import "postroad_v1" "hdr_add" (func $hdr_add (param i32 i32 i32 i32 i32) (result i32)))
  (import "postroad_v1" "route_set" (func $route_set (param i32 i32 i32) (result i32)))
  (import "postroad_v1" "queue_set" (func $queue_set (param i32 i64) (result i32)))
  (import "postroad_v1" "emit" (func $emit (param i32 i32) (result i32)))
  (import "postroad_v1" "now" (func $now (result i64)))
  (memory (export "memory") 1)
  (data (i32.const 0) "X-Guest" "was here")
  (data (i32.const 32) "\01\00\05\00\00\00other")
  (data (i32.const 64) "\02\00\0a\00\00\00b@far.test" "\03\00\0f\00\00\00Subject: tick\0d\0a" "\04\00\05\00\00\00tock\0a")
  (func (export "pr_init") (result i64)
    ;; route 16, predeliver 17, result 18, bounce 19, tick 24
    (i64.const 0x10f0000))
  (func (export "pr_on") (param $phase i32) (param $arg i32) (result i32)
    (if (i32.eq (local.get $phase) (i32.const 16))
      (then
        (if (i64.eq (call $get_int (i32.const 41) (i32.const 0)) (i64.const 1))
          (then (return (i32.shr_s (call $route_set (local.get $arg) (i32.const 32) (i32.const 11)) (i32.const 31)))))))
    (if (i32.eq (local.get $phase) (i32.const 17))
      (then (return (i32.shr_s (call $hdr_add (i32.const 0) (i32.const 0) (i32.const 7) (i32.const 7) (i32.const 8)) (i32.const 31)))))
    (if (i32.eq (local.get $phase) (i32.const 18))
      (then
        (if (i64.eq (call $get_int (i32.const 42) (i32.const 0)) (i64.const 451))
          (then (return (call $queue_set (i32.const 1) (i64.add (call $now) (i64.const 5000))))))))
    (if (i32.eq (local.get $phase) (i32.const 19))
      (then (return (i32.const 4))))
    (if (i32.eq (local.get $phase) (i32.const 24))
      (then (return (i32.shr_s (call $emit (i32.const 64) (i32.const 48)) (i32.const 31)))))
    (i32.const 0)))
