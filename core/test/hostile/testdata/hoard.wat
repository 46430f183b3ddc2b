;; SPDX-License-Identifier: Apache-2.0
;;
;; hoard: takes two MiB for each connection and waits for the next command.
(module
  (memory (export "memory") 1)
  (func (export "pr_on") (param $phase i32) (param $arg i32) (result i32)
    (if (i32.lt_u (memory.size) (i32.const 20)) (then (drop (memory.grow (i32.const 19)))))
    (i32.const 0))
  (func (export "pr_init") (result i64)
    (i64.const 0x810f07ff)))
