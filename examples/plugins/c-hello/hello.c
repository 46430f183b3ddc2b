// SPDX-License-Identifier: Apache-2.0

// A Postroad plugin in C, without an SDK and without a C library: it greets in
// every message. The numbers are in sdk/abi/reference.md.
#include <stdint.h>

#define IMPORT(name) __attribute__((import_module("postroad_v1"), import_name(name)))
#define EXPORT(name) __attribute__((export_name(name)))

enum { PHASE_MESSAGE = 9, TOP = 0, CONTINUE = 0 };

IMPORT("hdr_add")
int32_t hdr_add(int32_t pos, const char *name, int32_t namelen, const char *value, int32_t valuelen);

EXPORT("pr_init") int64_t init(void) { return 1 << PHASE_MESSAGE; }

EXPORT("pr_on") int32_t on(int32_t phase, int32_t arg) {
	(void)phase, (void)arg;
	int32_t id = hdr_add(TOP, "X-Hello", 7, "from C", 6);
	return id < 0 ? id : CONTINUE;
}
