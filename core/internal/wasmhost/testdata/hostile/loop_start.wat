;; SPDX-License-Identifier: Apache-2.0
;;
;; loop_start: runs for ever in the start section, while it is instantiated.
;; when: start
;; cause: fuel
(module
  (memory (export "memory") 1)
  (func $start (loop $l (br $l)))
  (start $start)
  (func (export "pr_init") (result i64)
    (i64.const 512))
  (func (export "pr_on") (param $phase i32) (param $arg i32) (result i32)
    (i32.const 0)))
