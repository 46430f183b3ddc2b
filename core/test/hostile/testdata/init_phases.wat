;; SPDX-License-Identifier: Apache-2.0
;;
;; init_phases: asks for phases that there are not.
(module
  (memory (export "memory") 1)
  (func (export "pr_on") (param $phase i32) (param $arg i32) (result i32)
    (i32.const 0))
  (func (export "pr_init") (result i64)
    (i64.const 0x7fffffffffffffff)))
