;; SPDX-License-Identifier: Apache-2.0
;;
;; empty: exports nothing.
;; error: does not export the memory memory
(module)
