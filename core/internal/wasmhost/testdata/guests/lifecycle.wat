;; SPDX-License-Identifier: Apache-2.0
;;
;; lifecycle: logs s for its start section, i for _initialize, p for pr_init, h for a hook and c for
;; pr_close. A hook grows its memory by as many pages as its argument says.
(module
  (import "postroad_v1" "log" (func $log (param i32 i32 i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "step-s step-i step-p step-h step-c")
  (func $start (call $log (i32.const 2) (i32.const 0) (i32.const 6)))
  (start $start)
  (func (export "_initialize") (call $log (i32.const 2) (i32.const 7) (i32.const 6)))
  (func (export "pr_init") (result i64)
    (call $log (i32.const 2) (i32.const 14) (i32.const 6))
    (i64.const 560))
  (func (export "pr_on") (param $phase i32) (param $arg i32) (result i32)
    (call $log (i32.const 2) (i32.const 21) (i32.const 6))
    (drop (memory.grow (local.get $arg)))
    (i32.const 0))
  (func (export "pr_close") (call $log (i32.const 2) (i32.const 28) (i32.const 6))))
