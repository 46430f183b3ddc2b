;; SPDX-License-Identifier: Apache-2.0
;;
;; remember: counts its hooks in its memory and in a global that it does not export. The first hook of an
;; instance is continued, every later one tempfailed. In phase rcpt it first grows its memory by as many
;; pages as its argument says; in phase data it traps. It has a float global too, and one of the constants
;; of each kind. It counts its resets at 2048.
(module
  (memory (export "memory") 2)
  (global $fixed i32 (i32.const -77))
  (global $count (mut i32) (i32.const 0))
  (global $wide (mut i64) (i64.const -9000000000))
  (global $float (mut f32) (f32.const 1.5))
  (global $double (mut f64) (f64.const 2.5))
  (global $fun funcref (ref.null func))
  (func (export "pr_init") (result i64)
    (i32.store (i32.const 4096) (i32.const 7))
    (i64.const 0x80000370)) ;; mail, rcpt, data, body, message, reset
  (func (export "pr_on") (param $phase i32) (param $arg i32) (result i32)
    (local $seen i32)
    (if (i32.eq (local.get $phase) (i32.const 31))
      (then
        (i32.store (i32.const 2048) (i32.add (i32.load (i32.const 2048)) (i32.const 1)))
        (return (i32.const 0))))
    (if (i32.eq (local.get $phase) (i32.const 5))
      (then (drop (memory.grow (local.get $arg)))))
    (if (i32.eq (local.get $phase) (i32.const 6))
      (then (unreachable)))
    (local.set $seen (i32.add (i32.load (i32.const 1024)) (global.get $count)))
    (global.set $count (i32.add (global.get $count) (i32.const 1)))
    (global.set $wide (i64.add (global.get $wide) (i64.const 1)))
    (global.set $float (f32.add (global.get $float) (f32.const 1)))
    (global.set $double (f64.add (global.get $double) (f64.const 1)))
    (i32.store (i32.const 1024) (i32.add (i32.load (i32.const 1024)) (i32.const 1)))
    (if (i32.ne (i32.load (i32.const 4096)) (i32.const 7)) (then (unreachable)))
    (if (i64.gt_s (global.get $wide) (i64.const -8999999990)) (then (unreachable)))
    (if (f32.gt (global.get $float) (f32.const 10)) (then (unreachable)))
    (if (f64.gt (global.get $double) (f64.const 10)) (then (unreachable)))
    (select (i32.const 3) (i32.const 0) (local.get $seen))))
