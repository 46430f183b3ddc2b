;; SPDX-License-Identifier: Apache-2.0
;;
;; reset_loop: is well until the transaction is over, then runs for ever.
(module
  (memory (export "memory") 1)
  (func (export "pr_on") (param $phase i32) (param $arg i32) (result i32)
    (if (i32.eq (local.get $phase) (i32.const 31)) (then (loop $l (br $l))))
    (i32.const 0))
  (func (export "pr_init") (result i64)
    (i64.const 0x810f07ff)))
