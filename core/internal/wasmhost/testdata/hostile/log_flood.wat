;; SPDX-License-Identifier: Apache-2.0
;;
;; log_flood: writes log lines without end. The host may stop it earlier by a limit of its own.
;; when: hook
;; cause: fuel
(module
  (import "postroad_v1" "log" (func $log (param i32 i32 i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "a line of a log that nobody wants to read\n")
  (func (export "pr_init") (result i64)
    (i64.const 512))
  (func (export "pr_on") (param $phase i32) (param $arg i32) (result i32)
    (loop $l
      (call $log (i32.const 1) (i32.const 0) (i32.const 1024))
      (br $l))
    (i32.const 0)))
