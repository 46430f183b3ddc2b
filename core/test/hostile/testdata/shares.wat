;; SPDX-License-Identifier: Apache-2.0
;;
;; shares: makes one call of the host, whose number its configuration has, until it is told that
;; its share is used up, and then puts the message off. It fails when nobody tells it.
(module
  (import "postroad_v1" "body_write" (func $body_write (param i32 i32 i32) (result i32)))
  (import "postroad_v1" "bucket" (func $bucket (param i32 i32) (result i32)))
  (import "postroad_v1" "config" (func $config (param i32 i32) (result i32)))
  (import "postroad_v1" "dns" (func $dns (param i32 i32 i32 i32 i32) (result i32)))
  (import "postroad_v1" "emit" (func $emit (param i32 i32) (result i32)))
  (import "postroad_v1" "hdr_add" (func $hdr_add (param i32 i32 i32 i32 i32) (result i32)))
  (import "postroad_v1" "hdr_del" (func $hdr_del (param i32) (result i32)))
  (import "postroad_v1" "hdr_find" (func $hdr_find (param i32 i32 i32) (result i32)))
  (import "postroad_v1" "hdr_set" (func $hdr_set (param i32 i32 i32) (result i32)))
  (import "postroad_v1" "kv_add" (func $kv_add (param i32 i32 i32 i64 i64 i32) (result i32)))
  (import "postroad_v1" "kv_get" (func $kv_get (param i32 i32 i32 i32 i32) (result i32)))
  (import "postroad_v1" "kv_put" (func $kv_put (param i32 i32 i32 i32 i32 i64 i32) (result i32)))
  (import "postroad_v1" "meta_set" (func $meta_set (param i32 i32 i32 i32 i32) (result i32)))
  (import "postroad_v1" "metric" (func $metric (param i32 i32 i32 i64) (result i32)))
  (import "postroad_v1" "rate_take" (func $rate_take (param i32 i32 i32 i32 i32) (result i32)))
  (import "postroad_v1" "rcpt_add" (func $rcpt_add (param i32 i32) (result i32)))
  (import "postroad_v1" "rcpt_set" (func $rcpt_set (param i32 i32 i32) (result i32)))
  (import "postroad_v1" "rcpt_verdict" (func $rcpt_verdict (param i32 i32 i32 i32 i32 i32) (result i32)))
  (import "postroad_v1" "reply" (func $reply (param i32 i32 i32 i32) (result i32)))
  (import "postroad_v1" "route_set" (func $route_set (param i32 i32 i32) (result i32)))
  (import "postroad_v1" "score" (func $score (param i32 i32 i32) (result i32)))
  (import "postroad_v1" "sender_set" (func $sender_set (param i32 i32) (result i32)))
  (import "postroad_v1" "split" (func $split (param i32 i32) (result i32)))
  (import "postroad_v1" "store" (func $store (param i32 i32) (result i32)))
  (memory (export "memory") 2)
  (type $case (func (result i32)))
  (table 20 funcref)
  (elem (i32.const 0) $f0 $f1 $f2 $f3 $f4 $f5 $f6 $f7 $f8 $f9 $f10 $f11 $f12 $f13 $f14 $f15 $f16 $f17 $f18 $f19)
  (func $f0 (result i32) (call $reply (i32.const 451) (i32.const 0) (i32.const 784) (i32.const 8))) ;; reply
  (func $f1 (result i32) (call $rcpt_verdict (i32.const 0) (i32.const 3) (i32.const 451) (i32.const 0) (i32.const 784) (i32.const 8))) ;; rcpt_verdict
  (func $f2 (result i32) (call $hdr_add (i32.const -1) (i32.const 800) (i32.const 7) (i32.const 784) (i32.const 8))) ;; hdr_add
  (func $f3 (result i32) (call $hdr_set (call $hdr_find (i32.const 0x348) (i32.const 7) (i32.const -1)) (i32.const 0x310) (i32.const 8))) ;; hdr_set
  (func $f4 (result i32) (call $hdr_del (i32.const 1))) ;; hdr_del
  (func $f5 (result i32) (call $rcpt_add (i32.const 816) (i32.const 10))) ;; rcpt_add
  (func $f6 (result i32) (call $rcpt_set (i32.const 0) (i32.const 816) (i32.const 10))) ;; rcpt_set
  (func $f7 (result i32) (call $sender_set (i32.const 816) (i32.const 10))) ;; sender_set
  (func $f8 (result i32) (call $body_write (i32.const 8192) (i32.const 32768) (i32.const 0))) ;; body_write
  (func $f9 (result i32) (call $meta_set (i32.const 0) (i32.const 784) (i32.const 8) (i32.const 8192) (i32.const 2048))) ;; meta_set
  (func $f10 (result i32) (call $score (i32.const 0x310) (i32.const 8) (i32.const 1000))) ;; score
  (func $f11 (result i32) (call $split (i32.const 912) (i32.const 1))) ;; split
  (func $f12 (result i32) (call $emit (i32.const 848) (i32.const 46))) ;; emit
  (func $f13 (result i32) (call $kv_put (i32.const 0) (i32.const 784) (i32.const 8) (i32.const 8192) (i32.const 32768) (i64.const 0) (i32.const 0))) ;; kv_put
  (func $f14 (result i32) (call $kv_get (i32.const 0) (i32.const 784) (i32.const 8) (i32.const 8192) (i32.const 256))) ;; kv_get
  (func $f15 (result i32) (call $kv_add (i32.const 0) (i32.const 784) (i32.const 8) (i64.const 1) (i64.const 0) (i32.const 8192))) ;; kv_add
  (func $f16 (result i32) (call $rate_take (i32.const 0) (i32.const 784) (i32.const 8) (i32.const 1) (i32.const 8192))) ;; rate_take
  (func $f17 (result i32) (call $dns (i32.const 1) (i32.const 816) (i32.const 10) (i32.const 8192) (i32.const 256))) ;; dns
  (func $f18 (result i32) (call $metric (i32.const 0) (i32.const 792) (i32.const 4) (i64.const 1))) ;; metric
  (func $f19 (result i32) (call $route_set (i32.const -1) (i32.const 0x3a0) (i32.const 10))) ;; route_set

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
  (data (i32.const 0x310) "FloodFlo")
  (data (i32.const 0x318) "flood")
  (data (i32.const 0x320) "X-Flood")
  (data (i32.const 0x330) "a@b.test  ")
  (data (i32.const 0x348) "Subject")
  (data (i32.const 0x3a0) "\01\00\04\00\00\00\6e\65\78\74")
  (data (i32.const 0x350) "\01\00\08\00\00\00\61\40\62\2e\74\65\73\74\02\00\08\00\00\00\63\40\64\2e\74\65\73\74\03\00\0c\00\00\00\53\75\62\6a\65\63\74\3a\20\78\0d\0a")
  (func (export "pr_on") (param $phase i32) (param $arg i32) (result i32)
    (local $f i32) (local $calls i32)
    (local.set $f (call $number))
    (drop (call $store (i32.const 0x300) (i32.const 1)))
    (drop (call $bucket (i32.const 0x300) (i32.const 1)))
    (memory.fill (i32.const 0x2000) (i32.const 97) (i32.const 0x8000))
    (loop $l
      (if (i32.eq (call_indirect (type $case) (local.get $f)) (i32.const -5)) (then (return (i32.const 3))))
      (br_if $l (i32.lt_u (local.tee $calls (i32.add (local.get $calls) (i32.const 1))) (i32.const 20000))))
    (unreachable))
  (func (export "pr_init") (result i64)
    (i64.const 0x810f07ff)))
