;; SPDX-License-Identifier: Apache-2.0
;;
;; close_loop: runs for ever in pr_close, which is called when an instance has had its time.
(module
  (memory (export "memory") 1)
  (func (export "pr_on") (param $phase i32) (param $arg i32) (result i32)
    (i32.const 0))
  (func (export "pr_close") (loop $l (br $l)))
  (func (export "pr_init") (result i64)
    (i64.const 0x810f07ff)))
