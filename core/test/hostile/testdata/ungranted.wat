;; SPDX-License-Identifier: Apache-2.0
;;
;; ungranted: calls every function that it has no grant for, and fails when one answers anything
;; but "denied".
(module
  (import "postroad_v1" "get" (func $get (param i32 i32 i32 i32) (result i32)))
  (import "postroad_v1" "hdr_find" (func $hdr_find (param i32 i32 i32) (result i32)))
  (import "postroad_v1" "hdr_get" (func $hdr_get (param i32 i32 i32 i32) (result i32)))
  (import "postroad_v1" "hdr_add" (func $hdr_add (param i32 i32 i32 i32 i32) (result i32)))
  (import "postroad_v1" "hdr_set" (func $hdr_set (param i32 i32 i32) (result i32)))
  (import "postroad_v1" "hdr_del" (func $hdr_del (param i32) (result i32)))
  (import "postroad_v1" "rcpt_add" (func $rcpt_add (param i32 i32) (result i32)))
  (import "postroad_v1" "rcpt_set" (func $rcpt_set (param i32 i32 i32) (result i32)))
  (import "postroad_v1" "rcpt_del" (func $rcpt_del (param i32) (result i32)))
  (import "postroad_v1" "sender_set" (func $sender_set (param i32 i32) (result i32)))
  (import "postroad_v1" "msg_size" (func $msg_size (param i32) (result i64)))
  (import "postroad_v1" "msg_read" (func $msg_read (param i32 i64 i32 i32) (result i32)))
  (import "postroad_v1" "body_write" (func $body_write (param i32 i32 i32) (result i32)))
  (import "postroad_v1" "part_count" (func $part_count (result i32)))
  (import "postroad_v1" "part_get" (func $part_get (param i32 i32 i32 i32) (result i32)))
  (import "postroad_v1" "part_read" (func $part_read (param i32 i32 i64 i32 i32) (result i32)))
  (import "postroad_v1" "split" (func $split (param i32 i32) (result i32)))
  (import "postroad_v1" "route_set" (func $route_set (param i32 i32 i32) (result i32)))
  (import "postroad_v1" "queue_set" (func $queue_set (param i32 i64) (result i32)))
  (import "postroad_v1" "label_set" (func $label_set (param i32 i32 i32) (result i32)))
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
  (import "postroad_v1" "secret" (func $secret (param i32 i32 i32 i32) (result i32)))
  (import "postroad_v1" "http_header" (func $http_header (param i32 i32 i32 i32 i32) (result i32)))
  (import "postroad_v1" "snapshot" (func $snapshot (param i32 i32 i32) (result i32)))
  (import "postroad_v1" "get_int" (func $get_int (param i32 i32) (result i64)))
  (memory (export "memory") 2)
  (data (i32.const 0x300) "s")
  (data (i32.const 0x310) "FloodFlo")
  (data (i32.const 0x318) "flood")
  (data (i32.const 0x320) "X-Flood")
  (data (i32.const 0x330) "a@b.test  ")
  (data (i32.const 0x340) "\01\00\04\00\00\00\6e\65\78\74")
  (data (i32.const 0x350) "\01\00\08\00\00\00\61\40\62\2e\74\65\73\74\02\00\08\00\00\00\63\40\64\2e\74\65\73\74\03\00\0c\00\00\00\53\75\62\6a\65\63\74\3a\20\78\0d\0a")
  (func (export "pr_on") (param $phase i32) (param $arg i32) (result i32)
    (if (i32.ne (call $get (i32.const 20) (i32.const 0) (i32.const 0x2000) (i32.const 64)) (i32.const -2)) (then (unreachable))) ;; get
    (if (i32.ne (call $hdr_find (i32.const 784) (i32.const 1) (i32.const -1)) (i32.const -2)) (then (unreachable))) ;; hdr_find
    (if (i32.ne (call $hdr_get (i32.const 0) (i32.const 1) (i32.const 8192) (i32.const 4096)) (i32.const -2)) (then (unreachable))) ;; hdr_get
    (if (i32.ne (call $hdr_add (i32.const -1) (i32.const 800) (i32.const 7) (i32.const 784) (i32.const 8)) (i32.const -2)) (then (unreachable))) ;; hdr_add
    (if (i32.ne (call $hdr_set (i32.const 1) (i32.const 784) (i32.const 8)) (i32.const -2)) (then (unreachable))) ;; hdr_set
    (if (i32.ne (call $hdr_del (i32.const 1)) (i32.const -2)) (then (unreachable))) ;; hdr_del
    (if (i32.ne (call $rcpt_add (i32.const 816) (i32.const 10)) (i32.const -2)) (then (unreachable))) ;; rcpt_add
    (if (i32.ne (call $rcpt_set (i32.const 0) (i32.const 816) (i32.const 10)) (i32.const -2)) (then (unreachable))) ;; rcpt_set
    (if (i32.ne (call $rcpt_del (i32.const 0)) (i32.const -2)) (then (unreachable))) ;; rcpt_del
    (if (i32.ne (call $sender_set (i32.const 816) (i32.const 10)) (i32.const -2)) (then (unreachable))) ;; sender_set
    (if (i64.ne (call $msg_size (i32.const 0)) (i64.const -2)) (then (unreachable))) ;; msg_size
    (if (i32.ne (call $msg_read (i32.const 0) (i64.const 0) (i32.const 8192) (i32.const 32768)) (i32.const -2)) (then (unreachable))) ;; msg_read
    (if (i32.ne (call $body_write (i32.const 8192) (i32.const 32768) (i32.const 0)) (i32.const -2)) (then (unreachable))) ;; body_write
    (if (i32.ne (call $part_count ) (i32.const -2)) (then (unreachable))) ;; part_count
    (if (i32.ne (call $part_get (i32.const 0) (i32.const 6) (i32.const 8192) (i32.const 64)) (i32.const -2)) (then (unreachable))) ;; part_get
    (if (i32.ne (call $part_read (i32.const 0) (i32.const 1) (i64.const 0) (i32.const 8192) (i32.const 32768)) (i32.const -2)) (then (unreachable))) ;; part_read
    (if (i32.ne (call $split (i32.const 912) (i32.const 1)) (i32.const -2)) (then (unreachable))) ;; split
    (if (i32.ne (call $route_set (i32.const -1) (i32.const 832) (i32.const 10)) (i32.const -2)) (then (unreachable))) ;; route_set
    (if (i32.ne (call $queue_set (i32.const 3) (i64.const 1)) (i32.const -2)) (then (unreachable))) ;; queue_set
    (if (i32.ne (call $label_set (i32.const 1) (i32.const 784) (i32.const 8)) (i32.const -2)) (then (unreachable))) ;; label_set
    (if (i32.ne (call $emit (i32.const 848) (i32.const 46)) (i32.const -2)) (then (unreachable))) ;; emit
    (if (i32.ne (call $store (i32.const 768) (i32.const 1)) (i32.const -2)) (then (unreachable))) ;; store
    (if (i32.ne (call $kv_get (i32.const 0) (i32.const 784) (i32.const 8) (i32.const 8192) (i32.const 256)) (i32.const -2)) (then (unreachable))) ;; kv_get
    (if (i32.ne (call $kv_put (i32.const 0) (i32.const 784) (i32.const 8) (i32.const 8192) (i32.const 32768) (i64.const 0) (i32.const 0)) (i32.const -2)) (then (unreachable))) ;; kv_put
    (if (i32.ne (call $kv_del (i32.const 0) (i32.const 784) (i32.const 8)) (i32.const -2)) (then (unreachable))) ;; kv_del
    (if (i32.ne (call $kv_add (i32.const 0) (i32.const 784) (i32.const 8) (i64.const 1) (i64.const 0) (i32.const 8192)) (i32.const -2)) (then (unreachable))) ;; kv_add
    (if (i32.ne (call $kv_cas (i32.const 0) (i32.const 784) (i32.const 8) (i32.const 8192) (i32.const 1) (i32.const 8192) (i32.const 1) (i64.const 0)) (i32.const -2)) (then (unreachable))) ;; kv_cas
    (if (i32.ne (call $bucket (i32.const 768) (i32.const 1)) (i32.const -2)) (then (unreachable))) ;; bucket
    (if (i32.ne (call $rate_take (i32.const 0) (i32.const 784) (i32.const 8) (i32.const 1) (i32.const 8192)) (i32.const -2)) (then (unreachable))) ;; rate_take
    (if (i32.ne (call $dns (i32.const 1) (i32.const 816) (i32.const 10) (i32.const 8192) (i32.const 256)) (i32.const -2)) (then (unreachable))) ;; dns
    (if (i32.ne (call $http (i32.const 8192) (i32.const 4) (i32.const 8192) (i32.const 16)) (i32.const -2)) (then (unreachable))) ;; http
    (if (i32.ne (call $http_read (i32.const 0) (i64.const 0) (i32.const 8192) (i32.const 256)) (i32.const -2)) (then (unreachable))) ;; http_read
    (if (i32.ne (call $secret (i32.const 768) (i32.const 1) (i32.const 8192) (i32.const 256)) (i32.const -2)) (then (unreachable))) ;; secret
    (if (i32.ne (call $http_header (i32.const 0) (i32.const 784) (i32.const 8) (i32.const 8192) (i32.const 256)) (i32.const -2)) (then (unreachable))) ;; http_header
    (if (i32.ne (call $snapshot (i32.const 1) (i32.const 8192) (i32.const 32768)) (i32.const -2)) (then (unreachable))) ;; snapshot
    (if (i64.ne (call $get_int (i32.const 24) (i32.const 0)) (i64.const 0x8000000000000000)) (then (unreachable)))
    (i32.const 0))
  (func (export "pr_init") (result i64)
    (i64.const 0x810f07ff)))
