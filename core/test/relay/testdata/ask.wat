;; SPDX-License-Identifier: Apache-2.0
;;
;; ask: asks the URL in its secret "url" by HTTP and the DNS for the address of a.test, writes the
;; answers into the header fields X-Answer and X-Address, and counts its figure "asked".
(module
  (import "postroad_v1" "secret" (func $secret (param i32 i32 i32 i32) (result i32)))
  (import "postroad_v1" "http" (func $http (param i32 i32 i32 i32) (result i32)))
  (import "postroad_v1" "http_read" (func $http_read (param i32 i64 i32 i32) (result i32)))
  (import "postroad_v1" "dns" (func $dns (param i32 i32 i32 i32 i32) (result i32)))
  (import "postroad_v1" "hdr_add" (func $hdr_add (param i32 i32 i32 i32 i32) (result i32)))
  (import "postroad_v1" "metric" (func $metric (param i32 i32 i32 i64) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0x400) "url")
  (data (i32.const 0x410) "a.test")
  (data (i32.const 0x420) "X-Answer")
  (data (i32.const 0x430) "X-Address")
  (data (i32.const 0x440) "asked")
  (func (export "pr_init") (result i64) (i64.const 0x200))
  (func (export "pr_on") (param $phase i32) (param $arg i32) (result i32)
    (local $n i32)
    ;; the TLV of the request is at 0x100: tag url, its length, the octets
    (local.set $n (call $secret (i32.const 0x400) (i32.const 3) (i32.const 0x106) (i32.const 200)))
    (if (i32.lt_s (local.get $n) (i32.const 0)) (then (return (local.get $n))))
    (i32.store16 (i32.const 0x100) (i32.const 2))
    (i32.store (i32.const 0x102) (local.get $n))
    (local.set $n (call $http (i32.const 0x100) (i32.add (local.get $n) (i32.const 6)) (i32.const 0x200) (i32.const 12)))
    (if (i32.lt_s (local.get $n) (i32.const 0)) (then (return (local.get $n))))
    (local.set $n (call $http_read (local.get $n) (i64.const 0) (i32.const 0x300) (i32.const 100)))
    (drop (call $hdr_add (i32.const -1) (i32.const 0x420) (i32.const 8) (i32.const 0x300) (local.get $n)))
    ;; the answer's first record is a TLV of the TTL (10 octets) and the data
    (local.set $n (call $dns (i32.const 1) (i32.const 0x410) (i32.const 6) (i32.const 0x600) (i32.const 200)))
    (if (i32.lt_s (local.get $n) (i32.const 0)) (then (return (local.get $n))))
    (drop (call $hdr_add (i32.const -1) (i32.const 0x430) (i32.const 9) (i32.const 0x616) (i32.load (i32.const 0x612))))
    (call $metric (i32.const 0) (i32.const 0x440) (i32.const 5) (i64.const 2))))
