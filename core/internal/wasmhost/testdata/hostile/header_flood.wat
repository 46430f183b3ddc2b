;; SPDX-License-Identifier: Apache-2.0
;;
;; header_flood: adds header fields without end. The host refuses at its limit; the guest goes on.
;; when: hook
;; cause: fuel
(module
  (import "postroad_v1" "hdr_add" (func $hdr_add (param i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "X-Flood")
  (data (i32.const 16) "flood flood flood flood flood flood flood flood flood flood flood flood flood flood flood flood flood flood flood flood flood flood flood flood flood flood flood flood flood flood flood flood flood flood flood flood flood flood flood flood flood flood flood flood flood flood flood flood flood flood flood flood flood flood flood flood flood flood flood flood flood flood flood flood flood flood flood flood flood flood flood flood flood flood flood flood flood flood flood flood flood flood flood flood flood ab")
  (func (export "pr_init") (result i64)
    (i64.const 512))
  (func (export "pr_on") (param $phase i32) (param $arg i32) (result i32)
    (loop $l
      (drop (call $hdr_add (i32.const -1) (i32.const 0) (i32.const 7) (i32.const 16) (i32.const 512)))
      (br $l))
    (i32.const 0)))
