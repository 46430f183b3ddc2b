;; SPDX-License-Identifier: Apache-2.0
;;
;; reserved_auth: imports the results of mail authentication, which are reserved for later.
;; error: it imports postroad_v1.auth, which comes with mail authentication (SPF, DKIM, DMARC, ARC)
(module (import "postroad_v1" "auth" (func (param i32 i32 i32) (result i32))) (memory (export "memory") 1) (func (export "pr_init") (result i64) (i64.const 16)) (func (export "pr_on") (param i32 i32) (result i32) (i32.const 0)))
