;; SPDX-License-Identifier: Apache-2.0
;;
;; fields: reads the client's address, the HELO name, the sender and a header field.
(module
  (import "postroad_v1" "get" (func $get (param i32 i32 i32 i32) (result i32)))
  (import "postroad_v1" "hdr_find" (func $hdr_find (param i32 i32 i32) (result i32)))
  (import "postroad_v1" "hdr_get" (func $hdr_get (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "Subject")
  (func (export "pr_init") (result i64) (i64.const 512))
  (func (export "pr_on") (param i32 i32) (result i32)
    (drop (call $get (i32.const 10) (i32.const 0) (i32.const 1024) (i32.const 1024)))
    (drop (call $get (i32.const 13) (i32.const 0) (i32.const 2048) (i32.const 1024)))
    (drop (call $get (i32.const 20) (i32.const 0) (i32.const 3072) (i32.const 1024)))
    (drop (call $hdr_get (call $hdr_find (i32.const 0) (i32.const 7) (i32.const -1)) (i32.const 2)
      (i32.const 4096) (i32.const 1024)))
    (i32.const 0)))
