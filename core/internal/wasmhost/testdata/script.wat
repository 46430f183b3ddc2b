;; SPDX-License-Identifier: Apache-2.0
;;
;; script: a guest that does what its config says, so that tests can call every host
;; function with any argument. The config is binary (little-endian):
;;   0 i64 result of pr_init   8 u32 offset of the init script   12 u32 offset of the hook script
;; A script is a sequence of steps: i64 function number, 8 i64 arguments. Function number -1 ends
;; it; its first argument is the verdict. Offsets count from the config's start, which is at
;; address 0x10000. The result of step n is stored as i64 at 0x30000 + 8n, and buffers are from
;; 0x40000 on. Function numbers are the order of the imports.
(module
  (import "postroad_v1" "get" (func $get (param i32 i32 i32 i32) (result i32)))
  (import "postroad_v1" "get_int" (func $get_int (param i32 i32) (result i64)))
  (import "postroad_v1" "reply" (func $reply (param i32 i32 i32 i32) (result i32)))
  (import "postroad_v1" "rcpt_verdict" (func $rcpt_verdict (param i32 i32 i32 i32 i32 i32) (result i32)))
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
  (import "postroad_v1" "meta_get" (func $meta_get (param i32 i32 i32 i32 i32) (result i32)))
  (import "postroad_v1" "meta_set" (func $meta_set (param i32 i32 i32 i32 i32) (result i32)))
  (import "postroad_v1" "route_set" (func $route_set (param i32 i32 i32) (result i32)))
  (import "postroad_v1" "store" (func $store (param i32 i32) (result i32)))
  (import "postroad_v1" "kv_get" (func $kv_get (param i32 i32 i32 i32 i32) (result i32)))
  (import "postroad_v1" "kv_put" (func $kv_put (param i32 i32 i32 i32 i32 i64 i32) (result i32)))
  (import "postroad_v1" "kv_del" (func $kv_del (param i32 i32 i32) (result i32)))
  (import "postroad_v1" "kv_add" (func $kv_add (param i32 i32 i32 i64 i64 i32) (result i32)))
  (import "postroad_v1" "kv_cas" (func $kv_cas (param i32 i32 i32 i32 i32 i32 i32 i64) (result i32)))
  (import "postroad_v1" "bucket" (func $bucket (param i32 i32) (result i32)))
  (import "postroad_v1" "rate_take" (func $rate_take (param i32 i32 i32 i32 i32) (result i32)))
  (import "postroad_v1" "config" (func $config (param i32 i32) (result i32)))
  (import "postroad_v1" "log" (func $log (param i32 i32 i32)))
  (import "postroad_v1" "log_on" (func $log_on (param i32) (result i32)))
  (import "postroad_v1" "now" (func $now (result i64)))
  (memory (export "memory") 8)

  ;; arg returns argument n of the step at address $at.
  (func $arg (param $at i32) (param $n i32) (result i64)
    (i64.load (i32.add (i32.add (local.get $at) (i32.const 8)) (i32.shl (local.get $n) (i32.const 3)))))

  ;; step makes the call of the step at address $at.
  (func $step (param $at i32) (result i64)
    (block $32 (block $31 (block $30 (block $29 (block $28 (block $27 (block $26 (block $25 (block $24 (block $23 (block $22 (block $21 (block $20 (block $19 (block $18 (block $17 (block $16 (block $15 (block $14 (block $13 (block $12 (block $11 (block $10 (block $9 (block $8 (block $7 (block $6 (block $5 (block $4 (block $3 (block $2 (block $1 (block $0 
    (br_table $0 $1 $2 $3 $4 $5 $6 $7 $8 $9 $10 $11 $12 $13 $14 $15 $16 $17 $18 $19 $20 $21 $22 $23 $24 $25 $26 $27 $28 $29 $30 $31 $32 (i32.wrap_i64 (i64.load (local.get $at))))
    ) (return (i64.extend_i32_s (call $get (i32.wrap_i64 (call $arg (local.get $at) (i32.const 0))) (i32.wrap_i64 (call $arg (local.get $at) (i32.const 1))) (i32.wrap_i64 (call $arg (local.get $at) (i32.const 2))) (i32.wrap_i64 (call $arg (local.get $at) (i32.const 3))))))
    ) (return (call $get_int (i32.wrap_i64 (call $arg (local.get $at) (i32.const 0))) (i32.wrap_i64 (call $arg (local.get $at) (i32.const 1)))))
    ) (return (i64.extend_i32_s (call $reply (i32.wrap_i64 (call $arg (local.get $at) (i32.const 0))) (i32.wrap_i64 (call $arg (local.get $at) (i32.const 1))) (i32.wrap_i64 (call $arg (local.get $at) (i32.const 2))) (i32.wrap_i64 (call $arg (local.get $at) (i32.const 3))))))
    ) (return (i64.extend_i32_s (call $rcpt_verdict (i32.wrap_i64 (call $arg (local.get $at) (i32.const 0))) (i32.wrap_i64 (call $arg (local.get $at) (i32.const 1))) (i32.wrap_i64 (call $arg (local.get $at) (i32.const 2))) (i32.wrap_i64 (call $arg (local.get $at) (i32.const 3))) (i32.wrap_i64 (call $arg (local.get $at) (i32.const 4))) (i32.wrap_i64 (call $arg (local.get $at) (i32.const 5))))))
    ) (return (i64.extend_i32_s (call $hdr_find (i32.wrap_i64 (call $arg (local.get $at) (i32.const 0))) (i32.wrap_i64 (call $arg (local.get $at) (i32.const 1))) (i32.wrap_i64 (call $arg (local.get $at) (i32.const 2))))))
    ) (return (i64.extend_i32_s (call $hdr_get (i32.wrap_i64 (call $arg (local.get $at) (i32.const 0))) (i32.wrap_i64 (call $arg (local.get $at) (i32.const 1))) (i32.wrap_i64 (call $arg (local.get $at) (i32.const 2))) (i32.wrap_i64 (call $arg (local.get $at) (i32.const 3))))))
    ) (return (i64.extend_i32_s (call $hdr_add (i32.wrap_i64 (call $arg (local.get $at) (i32.const 0))) (i32.wrap_i64 (call $arg (local.get $at) (i32.const 1))) (i32.wrap_i64 (call $arg (local.get $at) (i32.const 2))) (i32.wrap_i64 (call $arg (local.get $at) (i32.const 3))) (i32.wrap_i64 (call $arg (local.get $at) (i32.const 4))))))
    ) (return (i64.extend_i32_s (call $hdr_set (i32.wrap_i64 (call $arg (local.get $at) (i32.const 0))) (i32.wrap_i64 (call $arg (local.get $at) (i32.const 1))) (i32.wrap_i64 (call $arg (local.get $at) (i32.const 2))))))
    ) (return (i64.extend_i32_s (call $hdr_del (i32.wrap_i64 (call $arg (local.get $at) (i32.const 0))))))
    ) (return (i64.extend_i32_s (call $rcpt_add (i32.wrap_i64 (call $arg (local.get $at) (i32.const 0))) (i32.wrap_i64 (call $arg (local.get $at) (i32.const 1))))))
    ) (return (i64.extend_i32_s (call $rcpt_set (i32.wrap_i64 (call $arg (local.get $at) (i32.const 0))) (i32.wrap_i64 (call $arg (local.get $at) (i32.const 1))) (i32.wrap_i64 (call $arg (local.get $at) (i32.const 2))))))
    ) (return (i64.extend_i32_s (call $rcpt_del (i32.wrap_i64 (call $arg (local.get $at) (i32.const 0))))))
    ) (return (i64.extend_i32_s (call $sender_set (i32.wrap_i64 (call $arg (local.get $at) (i32.const 0))) (i32.wrap_i64 (call $arg (local.get $at) (i32.const 1))))))
    ) (return (call $msg_size (i32.wrap_i64 (call $arg (local.get $at) (i32.const 0)))))
    ) (return (i64.extend_i32_s (call $msg_read (i32.wrap_i64 (call $arg (local.get $at) (i32.const 0))) (call $arg (local.get $at) (i32.const 1)) (i32.wrap_i64 (call $arg (local.get $at) (i32.const 2))) (i32.wrap_i64 (call $arg (local.get $at) (i32.const 3))))))
    ) (return (i64.extend_i32_s (call $body_write (i32.wrap_i64 (call $arg (local.get $at) (i32.const 0))) (i32.wrap_i64 (call $arg (local.get $at) (i32.const 1))) (i32.wrap_i64 (call $arg (local.get $at) (i32.const 2))))))
    ) (return (i64.extend_i32_s (call $part_count)))
    ) (return (i64.extend_i32_s (call $part_get (i32.wrap_i64 (call $arg (local.get $at) (i32.const 0))) (i32.wrap_i64 (call $arg (local.get $at) (i32.const 1))) (i32.wrap_i64 (call $arg (local.get $at) (i32.const 2))) (i32.wrap_i64 (call $arg (local.get $at) (i32.const 3))))))
    ) (return (i64.extend_i32_s (call $meta_get (i32.wrap_i64 (call $arg (local.get $at) (i32.const 0))) (i32.wrap_i64 (call $arg (local.get $at) (i32.const 1))) (i32.wrap_i64 (call $arg (local.get $at) (i32.const 2))) (i32.wrap_i64 (call $arg (local.get $at) (i32.const 3))) (i32.wrap_i64 (call $arg (local.get $at) (i32.const 4))))))
    ) (return (i64.extend_i32_s (call $meta_set (i32.wrap_i64 (call $arg (local.get $at) (i32.const 0))) (i32.wrap_i64 (call $arg (local.get $at) (i32.const 1))) (i32.wrap_i64 (call $arg (local.get $at) (i32.const 2))) (i32.wrap_i64 (call $arg (local.get $at) (i32.const 3))) (i32.wrap_i64 (call $arg (local.get $at) (i32.const 4))))))
    ) (return (i64.extend_i32_s (call $route_set (i32.wrap_i64 (call $arg (local.get $at) (i32.const 0))) (i32.wrap_i64 (call $arg (local.get $at) (i32.const 1))) (i32.wrap_i64 (call $arg (local.get $at) (i32.const 2))))))
    ) (return (i64.extend_i32_s (call $store (i32.wrap_i64 (call $arg (local.get $at) (i32.const 0))) (i32.wrap_i64 (call $arg (local.get $at) (i32.const 1))))))
    ) (return (i64.extend_i32_s (call $kv_get (i32.wrap_i64 (call $arg (local.get $at) (i32.const 0))) (i32.wrap_i64 (call $arg (local.get $at) (i32.const 1))) (i32.wrap_i64 (call $arg (local.get $at) (i32.const 2))) (i32.wrap_i64 (call $arg (local.get $at) (i32.const 3))) (i32.wrap_i64 (call $arg (local.get $at) (i32.const 4))))))
    ) (return (i64.extend_i32_s (call $kv_put (i32.wrap_i64 (call $arg (local.get $at) (i32.const 0))) (i32.wrap_i64 (call $arg (local.get $at) (i32.const 1))) (i32.wrap_i64 (call $arg (local.get $at) (i32.const 2))) (i32.wrap_i64 (call $arg (local.get $at) (i32.const 3))) (i32.wrap_i64 (call $arg (local.get $at) (i32.const 4))) (call $arg (local.get $at) (i32.const 5)) (i32.wrap_i64 (call $arg (local.get $at) (i32.const 6))))))
    ) (return (i64.extend_i32_s (call $kv_del (i32.wrap_i64 (call $arg (local.get $at) (i32.const 0))) (i32.wrap_i64 (call $arg (local.get $at) (i32.const 1))) (i32.wrap_i64 (call $arg (local.get $at) (i32.const 2))))))
    ) (return (i64.extend_i32_s (call $kv_add (i32.wrap_i64 (call $arg (local.get $at) (i32.const 0))) (i32.wrap_i64 (call $arg (local.get $at) (i32.const 1))) (i32.wrap_i64 (call $arg (local.get $at) (i32.const 2))) (call $arg (local.get $at) (i32.const 3)) (call $arg (local.get $at) (i32.const 4)) (i32.wrap_i64 (call $arg (local.get $at) (i32.const 5))))))
    ) (return (i64.extend_i32_s (call $kv_cas (i32.wrap_i64 (call $arg (local.get $at) (i32.const 0))) (i32.wrap_i64 (call $arg (local.get $at) (i32.const 1))) (i32.wrap_i64 (call $arg (local.get $at) (i32.const 2))) (i32.wrap_i64 (call $arg (local.get $at) (i32.const 3))) (i32.wrap_i64 (call $arg (local.get $at) (i32.const 4))) (i32.wrap_i64 (call $arg (local.get $at) (i32.const 5))) (i32.wrap_i64 (call $arg (local.get $at) (i32.const 6))) (call $arg (local.get $at) (i32.const 7)))))
    ) (return (i64.extend_i32_s (call $bucket (i32.wrap_i64 (call $arg (local.get $at) (i32.const 0))) (i32.wrap_i64 (call $arg (local.get $at) (i32.const 1))))))
    ) (return (i64.extend_i32_s (call $rate_take (i32.wrap_i64 (call $arg (local.get $at) (i32.const 0))) (i32.wrap_i64 (call $arg (local.get $at) (i32.const 1))) (i32.wrap_i64 (call $arg (local.get $at) (i32.const 2))) (i32.wrap_i64 (call $arg (local.get $at) (i32.const 3))) (i32.wrap_i64 (call $arg (local.get $at) (i32.const 4))))))
    ) (return (i64.extend_i32_s (call $config (i32.wrap_i64 (call $arg (local.get $at) (i32.const 0))) (i32.wrap_i64 (call $arg (local.get $at) (i32.const 1))))))
    ) (call $log (i32.wrap_i64 (call $arg (local.get $at) (i32.const 0))) (i32.wrap_i64 (call $arg (local.get $at) (i32.const 1))) (i32.wrap_i64 (call $arg (local.get $at) (i32.const 2)))) (i64.const 0) (return)
    ) (return (i64.extend_i32_s (call $log_on (i32.wrap_i64 (call $arg (local.get $at) (i32.const 0))))))
    ) (return (call $now))
  )

  (func $run (param $at i32) (result i64)
    (local $out i32)
    (local.set $out (i32.const 0x30000))
    (block $done
      (loop $next
        (br_if $done (i64.lt_s (i64.load (local.get $at)) (i64.const 0)))
        (i64.store (local.get $out) (call $step (local.get $at)))
        (local.set $out (i32.add (local.get $out) (i32.const 8)))
        (local.set $at (i32.add (local.get $at) (i32.const 72)))
        (br $next)))
    (call $arg (local.get $at) (i32.const 0)))

  ;; base returns the address of the script whose offset is at config offset $n.
  (func $base (param $n i32) (result i32)
    (i32.add (i32.const 0x10000) (i32.load (i32.add (i32.const 0x10000) (local.get $n)))))

  (func (export "pr_init") (result i64)
    (drop (call $config (i32.const 0x10000) (i32.const 0x20000)))
    (drop (call $run (call $base (i32.const 8))))
    (i64.load (i32.const 0x10000)))

  (func (export "pr_on") (param $phase i32) (param $arg i32) (result i32)
    (i32.wrap_i64 (call $run (call $base (i32.const 12))))))
