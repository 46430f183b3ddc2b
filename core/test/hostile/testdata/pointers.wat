;; SPDX-License-Identifier: Apache-2.0
;;
;; pointers: hands one host function, whose number its configuration has, a pointer beyond its
;; memory, a length of 4 GiB, and a range that wraps around.
(module
  (import "postroad_v1" "get" (func $get (param i32 i32 i32 i32) (result i32)))
  (import "postroad_v1" "reply" (func $reply (param i32 i32 i32 i32) (result i32)))
  (import "postroad_v1" "rcpt_verdict" (func $rcpt_verdict (param i32 i32 i32 i32 i32 i32) (result i32)))
  (import "postroad_v1" "hdr_find" (func $hdr_find (param i32 i32 i32) (result i32)))
  (import "postroad_v1" "hdr_get" (func $hdr_get (param i32 i32 i32 i32) (result i32)))
  (import "postroad_v1" "hdr_add" (func $hdr_add (param i32 i32 i32 i32 i32) (result i32)))
  (import "postroad_v1" "hdr_set" (func $hdr_set (param i32 i32 i32) (result i32)))
  (import "postroad_v1" "rcpt_add" (func $rcpt_add (param i32 i32) (result i32)))
  (import "postroad_v1" "rcpt_set" (func $rcpt_set (param i32 i32 i32) (result i32)))
  (import "postroad_v1" "sender_set" (func $sender_set (param i32 i32) (result i32)))
  (import "postroad_v1" "msg_read" (func $msg_read (param i32 i64 i32 i32) (result i32)))
  (import "postroad_v1" "body_write" (func $body_write (param i32 i32 i32) (result i32)))
  (import "postroad_v1" "part_get" (func $part_get (param i32 i32 i32 i32) (result i32)))
  (import "postroad_v1" "part_read" (func $part_read (param i32 i32 i64 i32 i32) (result i32)))
  (import "postroad_v1" "meta_get" (func $meta_get (param i32 i32 i32 i32 i32) (result i32)))
  (import "postroad_v1" "meta_set" (func $meta_set (param i32 i32 i32 i32 i32) (result i32)))
  (import "postroad_v1" "score" (func $score (param i32 i32 i32) (result i32)))
  (import "postroad_v1" "split" (func $split (param i32 i32) (result i32)))
  (import "postroad_v1" "route_set" (func $route_set (param i32 i32 i32) (result i32)))
  (import "postroad_v1" "emit" (func $emit (param i32 i32) (result i32)))
  (import "postroad_v1" "store" (func $store (param i32 i32) (result i32)))
  (import "postroad_v1" "kv_get" (func $kv_get (param i32 i32 i32 i32 i32) (result i32)))
  (import "postroad_v1" "kv_put" (func $kv_put (param i32 i32 i32 i32 i32 i64 i32) (result i32)))
  (import "postroad_v1" "kv_del" (func $kv_del (param i32 i32 i32) (result i32)))
  (import "postroad_v1" "kv_add" (func $kv_add (param i32 i32 i32 i64 i64 i32) (result i32)))
  (import "postroad_v1" "kv_cas" (func $kv_cas (param i32 i32 i32 i32 i32 i32 i32 i64) (result i32)))
  (import "postroad_v1" "bucket" (func $bucket (param i32 i32) (result i32)))
  (import "postroad_v1" "rate_take" (func $rate_take (param i32 i32 i32 i32 i32) (result i32)))
  (import "postroad_v1" "dns" (func $dns (param i32 i32 i32 i32 i32) (result i32)))
  (import "postroad_v1" "http" (func $http (param i32 i32 i32 i32) (result i32)))
  (import "postroad_v1" "http_read" (func $http_read (param i32 i64 i32 i32) (result i32)))
  (import "postroad_v1" "config" (func $config (param i32 i32) (result i32)))
  (import "postroad_v1" "secret" (func $secret (param i32 i32 i32 i32) (result i32)))
  (import "postroad_v1" "log" (func $log (param i32 i32 i32)))
  (import "postroad_v1" "metric" (func $metric (param i32 i32 i32 i64) (result i32)))
  (import "postroad_v1" "random" (func $random (param i32 i32) (result i32)))
  (import "postroad_v1" "http_header" (func $http_header (param i32 i32 i32 i32 i32) (result i32)))
  (import "postroad_v1" "ehlo_set" (func $ehlo_set (param i32 i32 i32) (result i32)))
  (import "postroad_v1" "snapshot" (func $snapshot (param i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (type $case (func (param i32 i32)))
  (table 39 funcref)
  (elem (i32.const 0) $f0 $f1 $f2 $f3 $f4 $f5 $f6 $f7 $f8 $f9 $f10 $f11 $f12 $f13 $f14 $f15 $f16 $f17 $f18 $f19 $f20 $f21 $f22 $f23 $f24 $f25 $f26 $f27 $f28 $f29 $f30 $f31 $f32 $f33 $f34 $f35 $f36 $f37 $f38)
  (func $f0 (param $p i32) (param $n i32) (drop (call $get (i32.const 20) (i32.const 0) (local.get $p) (local.get $n)))) ;; get
  (func $f1 (param $p i32) (param $n i32) (drop (call $reply (i32.const 451) (i32.const 0) (local.get $p) (local.get $n)))) ;; reply
  (func $f2 (param $p i32) (param $n i32) (drop (call $rcpt_verdict (i32.const 0) (i32.const 3) (i32.const 451) (i32.const 0) (local.get $p) (local.get $n)))) ;; rcpt_verdict
  (func $f3 (param $p i32) (param $n i32) (drop (call $hdr_find (local.get $p) (local.get $n) (i32.const 0)))) ;; hdr_find
  (func $f4 (param $p i32) (param $n i32) (drop (call $hdr_get (i32.const 0) (i32.const 0) (local.get $p) (local.get $n)))) ;; hdr_get
  (func $f5 (param $p i32) (param $n i32) (drop (call $hdr_add (i32.const 0) (local.get $p) (local.get $n) (local.get $p) (local.get $n)))) ;; hdr_add
  (func $f6 (param $p i32) (param $n i32) (drop (call $hdr_set (i32.const 0) (local.get $p) (local.get $n)))) ;; hdr_set
  (func $f7 (param $p i32) (param $n i32) (drop (call $rcpt_add (local.get $p) (local.get $n)))) ;; rcpt_add
  (func $f8 (param $p i32) (param $n i32) (drop (call $rcpt_set (i32.const 0) (local.get $p) (local.get $n)))) ;; rcpt_set
  (func $f9 (param $p i32) (param $n i32) (drop (call $sender_set (local.get $p) (local.get $n)))) ;; sender_set
  (func $f10 (param $p i32) (param $n i32) (drop (call $msg_read (i32.const 0) (i64.const 0) (local.get $p) (local.get $n)))) ;; msg_read
  (func $f11 (param $p i32) (param $n i32) (drop (call $body_write (local.get $p) (local.get $n) (i32.const 0)))) ;; body_write
  (func $f12 (param $p i32) (param $n i32) (drop (call $part_get (i32.const 0) (i32.const 0) (local.get $p) (local.get $n)))) ;; part_get
  (func $f13 (param $p i32) (param $n i32) (drop (call $part_read (i32.const 0) (i32.const 0) (i64.const 0) (local.get $p) (local.get $n)))) ;; part_read
  (func $f14 (param $p i32) (param $n i32) (drop (call $meta_get (i32.const 0) (local.get $p) (local.get $n) (local.get $p) (local.get $n)))) ;; meta_get
  (func $f15 (param $p i32) (param $n i32) (drop (call $meta_set (i32.const 0) (local.get $p) (local.get $n) (local.get $p) (local.get $n)))) ;; meta_set
  (func $f16 (param $p i32) (param $n i32) (drop (call $score (local.get $p) (local.get $n) (i32.const 0)))) ;; score
  (func $f17 (param $p i32) (param $n i32) (drop (call $split (local.get $p) (i32.const 1)))) ;; split
  (func $f18 (param $p i32) (param $n i32) (drop (call $route_set (i32.const 0) (local.get $p) (local.get $n)))) ;; route_set
  (func $f19 (param $p i32) (param $n i32) (drop (call $emit (local.get $p) (local.get $n)))) ;; emit
  (func $f20 (param $p i32) (param $n i32) (drop (call $store (local.get $p) (local.get $n)))) ;; store
  (func $f21 (param $p i32) (param $n i32) (drop (call $kv_get (i32.const 0) (local.get $p) (local.get $n) (local.get $p) (local.get $n)))) ;; kv_get
  (func $f22 (param $p i32) (param $n i32) (drop (call $kv_put (i32.const 0) (local.get $p) (local.get $n) (local.get $p) (local.get $n) (i64.const 0) (i32.const 0)))) ;; kv_put
  (func $f23 (param $p i32) (param $n i32) (drop (call $kv_del (i32.const 0) (local.get $p) (local.get $n)))) ;; kv_del
  (func $f24 (param $p i32) (param $n i32) (drop (call $kv_add (i32.const 0) (local.get $p) (local.get $n) (i64.const 0) (i64.const 0) (local.get $p)))) ;; kv_add
  (func $f25 (param $p i32) (param $n i32) (drop (call $kv_cas (i32.const 0) (local.get $p) (local.get $n) (local.get $p) (local.get $n) (local.get $p) (local.get $n) (i64.const 0)))) ;; kv_cas
  (func $f26 (param $p i32) (param $n i32) (drop (call $bucket (local.get $p) (local.get $n)))) ;; bucket
  (func $f27 (param $p i32) (param $n i32) (drop (call $rate_take (i32.const 0) (local.get $p) (local.get $n) (i32.const 1) (local.get $p)))) ;; rate_take
  (func $f28 (param $p i32) (param $n i32) (drop (call $dns (i32.const 1) (local.get $p) (local.get $n) (local.get $p) (local.get $n)))) ;; dns
  (func $f29 (param $p i32) (param $n i32) (drop (call $http (local.get $p) (local.get $n) (local.get $p) (local.get $n)))) ;; http
  (func $f30 (param $p i32) (param $n i32) (drop (call $http_read (i32.const 0) (i64.const 0) (local.get $p) (local.get $n)))) ;; http_read
  (func $f31 (param $p i32) (param $n i32) (drop (call $config (local.get $p) (local.get $n)))) ;; config
  (func $f32 (param $p i32) (param $n i32) (drop (call $secret (local.get $p) (local.get $n) (local.get $p) (local.get $n)))) ;; secret
  (func $f33 (param $p i32) (param $n i32) (call $log (i32.const 0) (local.get $p) (local.get $n))) ;; log
  (func $f34 (param $p i32) (param $n i32) (drop (call $metric (i32.const 0) (local.get $p) (local.get $n) (i64.const 0)))) ;; metric
  (func $f35 (param $p i32) (param $n i32) (drop (call $random (local.get $p) (local.get $n)))) ;; random
  (func $f36 (param $p i32) (param $n i32) (drop (call $http_header (i32.const 0) (local.get $p) (local.get $n) (local.get $p) (local.get $n)))) ;; http_header
  (func $f37 (param $p i32) (param $n i32) (drop (call $ehlo_set (local.get $p) (local.get $p) (local.get $n)))) ;; ehlo_set
  (func $f38 (param $p i32) (param $n i32) (drop (call $snapshot (i32.const 1) (local.get $p) (local.get $n)))) ;; snapshot

  ;; number reads the first number of the configuration.
  (func $number (result i32) (local $i i32) (local $c i32) (local $n i32)
    (drop (call $config (i32.const 0x400) (i32.const 0x400)))
    (loop $skip
      (local.set $c (i32.sub (i32.load8_u offset=0x400 (local.get $i)) (i32.const 48)))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $skip (i32.and (i32.gt_u (local.get $c) (i32.const 9)) (i32.lt_u (local.get $i) (i32.const 100)))))
    (loop $digits
      (if (i32.gt_u (local.get $c) (i32.const 9)) (then (return (local.get $n))))
      (local.set $n (i32.add (i32.mul (local.get $n) (i32.const 10)) (local.get $c)))
      (local.set $c (i32.sub (i32.load8_u offset=0x400 (local.get $i)) (i32.const 48)))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br $digits))
    (unreachable))
  (data (i32.const 0x300) "s")
  (func (export "pr_on") (param $phase i32) (param $arg i32) (result i32) (local $f i32)
    (local.set $f (call $number))
    (drop (call $store (i32.const 0x300) (i32.const 1)))
    (drop (call $bucket (i32.const 0x300) (i32.const 1)))
    (call_indirect (type $case) (i32.const 0xffff) (i32.const 2) (local.get $f))
    (call_indirect (type $case) (i32.const 16) (i32.const -1) (local.get $f))
    (call_indirect (type $case) (i32.const -16) (i32.const 32) (local.get $f))
    (i32.const 0))
  (func (export "pr_init") (result i64)
    (i64.const 0x810f07ff)))
