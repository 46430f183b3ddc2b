;; SPDX-License-Identifier: Apache-2.0
;;
;; obey: a command that does what the message says. It reads its input to the end (at most 1 MiB), passes
;; over the first line, and takes the rest for a message that begins with "Exit: NN" and an empty line. It
;; writes the body to standard output, octet by octet where NN is odd, and exits with NN div 2.
(module
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 32)
  (func $write (param $p i32) (param $n i32)
    (i32.store (i32.const 0) (local.get $p))
    (i32.store (i32.const 4) (local.get $n))
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))
  (func $digit (param $p i32) (result i32)
    (i32.sub (i32.load8_u (local.get $p)) (i32.const 48)))
  (func (export "_start") (local $p i32) (local $end i32) (local $code i32)
    (local.set $end (i32.const 1024))
    (loop $more
      (i32.store (i32.const 0) (local.get $end))
      (i32.store (i32.const 4) (i32.sub (i32.const 0x100000) (local.get $end)))
      (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
      (local.set $end (i32.add (local.get $end) (i32.load (i32.const 8))))
      (br_if $more (i32.load (i32.const 8))))
    (local.set $p (i32.const 1024))
    (loop $line
      (local.set $p (i32.add (local.get $p) (i32.const 1)))
      (br_if $line (i32.ne (i32.load8_u (i32.sub (local.get $p) (i32.const 1))) (i32.const 10))))
    (local.set $code (i32.add
      (i32.mul (call $digit (i32.add (local.get $p) (i32.const 6))) (i32.const 100))
      (i32.add
        (i32.mul (call $digit (i32.add (local.get $p) (i32.const 7))) (i32.const 10))
        (call $digit (i32.add (local.get $p) (i32.const 8))))))
    (local.set $p (i32.add (local.get $p) (i32.const 13)))
    (if (i32.and (local.get $code) (i32.const 1))
      (then
        (block $done
          (loop $octet
            (br_if $done (i32.ge_u (local.get $p) (local.get $end)))
            (call $write (local.get $p) (i32.const 1))
            (local.set $p (i32.add (local.get $p) (i32.const 1)))
            (br $octet))))
      (else (call $write (local.get $p) (i32.sub (local.get $end) (local.get $p)))))
    (call $proc_exit (i32.shr_u (local.get $code) (i32.const 1)))))
