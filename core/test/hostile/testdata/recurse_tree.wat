;; SPDX-License-Identifier: Apache-2.0
;;
;; recurse_tree: a tree of calls, 3,000 deep and two wide at each place.
(module
  (memory (export "memory") 1)
  (func $f (param $n i32)
    (if (local.get $n)
      (then
        (call $f (i32.sub (local.get $n) (i32.const 1)))
        (call $f (i32.sub (local.get $n) (i32.const 1))))))
  (func (export "pr_on") (param $phase i32) (param $arg i32) (result i32)
    (call $f (i32.const 180))
    (i32.const 0))
  (func (export "pr_init") (result i64)
    (i64.const 0x810f07ff)))
