;; SPDX-License-Identifier: Apache-2.0
;;
;; command: is a WASI command.
;; error: it is a command
(module (memory (export "memory") 1) (func (export "_start")))
