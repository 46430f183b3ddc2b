;; SPDX-License-Identifier: Apache-2.0
;;
;; grow_table: lets its table grow until it is refused, then traps.
;; when: hook
;; cause: trap
(module
  (memory (export "memory") 1)
  (table $t 0 funcref)
  (func (export "pr_init") (result i64)
    (i64.const 512))
  (func (export "pr_on") (param $phase i32) (param $arg i32) (result i32)
    (block $full
      (loop $l
        (br_if $full (i32.eq (table.grow $t (ref.null func) (i32.const 1000)) (i32.const -1)))
        (br $l)))
    (unreachable)))
