;; SPDX-License-Identifier: Apache-2.0
;;
;; loops: what the benchmarks run, each n times.
(module
  (memory (export "memory") 4)
  (func (export "arithmetic") (param $n i32) (result i64) (local $x i64)
    (loop $l
      (local.set $x (i64.add (i64.mul (local.get $x) (i64.const 6364136223846793005)) (i64.const 1442695040888963407)))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $x))
  (func (export "bytesum") (param $n i32) (result i64) (local $x i64)
    (loop $l
      (local.set $x (i64.add (local.get $x) (i64.load8_u (i32.and (local.get $n) (i32.const 0xffff)))))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $x))
  (func (export "lower") (param $n i32) (result i64) (local $c i32) (local $p i32)
    (loop $l
      (local.set $p (i32.and (local.get $n) (i32.const 0xffff)))
      (local.set $c (i32.load8_u (local.get $p)))
      (if (i32.lt_u (i32.sub (local.get $c) (i32.const 65)) (i32.const 26))
        (then (i32.store8 (local.get $p) (i32.or (local.get $c) (i32.const 32))))
        (else (i32.store8 (local.get $p) (i32.xor (local.get $c) (i32.const 1)))))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (i64.const 0))
  (func $leaf (param i32) (result i32)
    (i32.add (i32.mul (local.get 0) (i32.const 31)) (i32.const 7)))
  (func (export "calls") (param $n i32) (result i64) (local $x i32)
    (loop $l
      (local.set $x (call $leaf (local.get $x)))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (i64.extend_i32_u (local.get $x)))
  (func $fib (param i32) (result i32)
    (if (i32.lt_u (local.get 0) (i32.const 2)) (then (return (local.get 0))))
    (i32.add (call $fib (i32.sub (local.get 0) (i32.const 1)))
             (call $fib (i32.sub (local.get 0) (i32.const 2)))))
  (func (export "fib") (param $n i32) (result i64)
    (loop $l
      (drop (call $fib (i32.const 12)))
      (local.set $n (i32.sub (local.get $n) (i32.const 466)))
      (br_if $l (i32.gt_s (local.get $n) (i32.const 0))))
    (i64.const 0))
  (func (export "simd") (param $n i32) (result i64) (local $x v128)
    (loop $l
      (local.set $x (i8x16.add (local.get $x) (v128.load (i32.and (local.get $n) (i32.const 0xffff)))))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (i64x2.extract_lane 0 (local.get $x)))
  (func (export "empty") (param $n i32) (result i64)
    (i64.const 0)))
