;; SPDX-License-Identifier: Apache-2.0
;;
;; body_smuggle: replaces the body by one that ends early on the wire: dots alone on lines, bare CR
;; and LF, a second transaction.
(module
  (import "postroad_v1" "body_write" (func $body_write (param i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "one\0a.\0aMAIL FROM:<x@INJECTED.test>\0d\0a.\0d\0aRCPT TO:<y@INJECTED.test>\0d.\0dDATA\0d\0aend\0d\0a")
  (func (export "pr_on") (param $phase i32) (param $arg i32) (result i32)
    (drop (call $body_write (i32.const 0) (i32.const 90) (i32.const 1)))
    (i32.const 0))
  (func (export "pr_init") (result i64)
    (i64.const 0x810f07ff)))
