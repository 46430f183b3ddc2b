;; SPDX-License-Identifier: Apache-2.0
;;
;; exact: functions whose cost can be counted by hand. The number behind each
;; line is its units.
(module
  (memory (export "memory") 4)
  (table $t 4 100 funcref)
  (elem $e func $straight $straight $straight $straight)
  (type $v (func))
  (data $d "forty-eight octets that memory.init copies somewhere")
  (func $straight (export "straight") (result i32)
    (i32.add (i32.const 1) (i32.const 2)))          ;; 3
  (func (export "nothing"))                         ;; 0
  (func (export "choose") (param i32) (result i32)
    (if (result i32) (local.get 0)                  ;; 2
      (then (i32.const 1))                          ;; 1
      (else (i32.mul (i32.const 2) (i32.const 3))))) ;; 3
  (func (export "early") (param i32) (result i32)
    (block
      (br_if 0 (local.get 0))                       ;; 2
      (return (i32.const 7)))                       ;; 2
    (i32.const 8))                                  ;; 1
  (func (export "count") (param i32) (result i32)
    (loop $l
      (local.set 0 (i32.sub (local.get 0) (i32.const 1))) ;; 4 each time
      (br_if $l (local.get 0)))                     ;; 2 each time
    (local.get 0))                                  ;; 1
  (func (export "switch") (param i32) (result i32)
    (block $c (block $b (block $a
      (br_table $a $b $c (local.get 0)))            ;; 2
      (return (i32.const 10)))                      ;; 2
      (return (i32.add (i32.const 20) (i32.const 1)))) ;; 4
    (i32.const 30))                                 ;; 1
  (func (export "calls") (result i32)
    (drop (call $straight))                         ;; 11 and 3 inside
    (i32.div_u (call $straight) (i32.const 3)))     ;; 31 and 3 inside
  (func (export "load") (result i32)
    (i32.load (i32.const 8)))                       ;; 3
  (func (export "fill") (param i32)
    (memory.fill (i32.const 0) (i32.const 1) (local.get 0))) ;; 103 + n/16
  (func (export "copy") (param i32)
    (memory.copy (i32.const 0) (i32.const 9) (local.get 0))) ;; 103 + n/16
  (func (export "grow") (param i32) (result i32)
    (memory.grow (local.get 0)))                    ;; 1001 + n*4096
  (func (export "table") (param i32)
    (table.init $t $e (i32.const 0) (i32.const 0) (local.get 0))) ;; 103 + n
  (func (export "init") (param i32)
    (memory.init $d (i32.const 0) (i32.const 0) (local.get 0))) ;; 103 + n/16
  (func (export "copytable") (param i32)
    (table.copy $t $t (i32.const 0) (i32.const 0) (local.get 0))) ;; 103 + n
  (func (export "filltable") (param i32)
    (table.fill $t (i32.const 0) (ref.null func) (local.get 0))) ;; 103 + n
  (func (export "growtable") (param i32) (result i32)
    (table.grow $t (ref.null func) (local.get 0)))  ;; 102 + n
  (func (export "root") (param f64) (result f64)
    (f64.sqrt (f64.div (local.get 0) (f64.const 2)))) ;; 42
  (func (export "pair") (param i32) (result i32 i64)
    (if (local.get 0)                               ;; 2
      (then (return (i32.const 1) (i64.const 2))))  ;; 3
    (call_indirect $t (type $v) (i32.const 0))      ;; 21, wrong type: traps
    (i32.const 3) (i64.const 4))                    ;; 2
  (func (export "dead") (param i32) (result i32)
    (block $b
      (br $b)                                       ;; 1
      (drop (i32.const 1)) (drop (i32.const 1)))
    (i32.const 5)))                                 ;; 1
