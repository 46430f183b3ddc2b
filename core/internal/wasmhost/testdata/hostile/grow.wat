;; SPDX-License-Identifier: Apache-2.0
;;
;; grow: asks for more memory until it is refused, touches all of it, and traps.
;; when: hook
;; cause: memory
(module
  (memory (export "memory") 1)
  (func (export "pr_init") (result i64)
    (i64.const 512))
  (func (export "pr_on") (param $phase i32) (param $arg i32) (result i32)
    (local $at i32)
    (block $full
      (loop $l
        (local.set $at (memory.grow (i32.const 1)))
        (br_if $full (i32.eq (local.get $at) (i32.const -1)))
        (i32.store (i32.mul (local.get $at) (i32.const 65536)) (i32.const 1))
        (br $l)))
    (unreachable)))
