// SPDX-License-Identifier: Apache-2.0

// words: the job of core/bench/filters in C, with the allocator and the sort of
// wasi-libc. Built twice: plain, and with -msimd128, for which the compiler
// turns the loops of lower() and octets() into vector code.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define IMPORT(n) __attribute__((import_module("postroad_v1"), import_name(n)))
#define EXPORT(n) __attribute__((export_name(n)))

IMPORT("config") int32_t config(void *b, int32_t c);
IMPORT("msg_read") int32_t msg_read(int32_t view, int64_t off, void *b, int32_t c);
IMPORT("hdr_find") int32_t hdr_find(const void *p, int32_t n, int32_t after);
IMPORT("hdr_get") int32_t hdr_get(int32_t id, int32_t part, void *b, int32_t c);
IMPORT("hdr_set") int32_t hdr_set(int32_t id, const void *p, int32_t n);
IMPORT("hdr_add") int32_t hdr_add(int32_t pos, const void *np, int32_t nn, const void *vp, int32_t vn);

enum { PHASE_MESSAGE = 9 };
enum { CHUNK = 64 << 10, LARGEST = 16 << 20, WORDS = 200, SLOTS = 512, SHORTEST = 3, LONGEST = 24, SHOWN = 5 };

struct word { const uint8_t *text; uint32_t len, count; };

static struct word words[WORDS];
static uint16_t slots[SLOTS]; // of words, plus one
static uint32_t known;

// load reads the whole message and returns its length, negative on an error.
static int32_t load(uint8_t **out) {
	uint8_t *buf = NULL;
	int32_t len = 0, cap = 0;
	for (;;) {
		if (cap - len < CHUNK) {
			cap = cap ? 2 * cap : 2 * CHUNK;
			uint8_t *more = cap > LARGEST ? NULL : realloc(buf, cap);
			if (!more) { free(buf); return -7; }
			buf = more;
		}
		int32_t n = msg_read(0, len, buf + len, CHUNK);
		if (n <= 0) {
			if (n < 0) { free(buf); return n; }
			*out = buf;
			return len;
		}
		len += n;
	}
}

static void lower(uint8_t *p, uint32_t n) {
	for (uint32_t i = 0; i < n; i++) {
		uint8_t upper = (uint8_t)(p[i] - 'A') < 26;
		p[i] |= upper << 5;
	}
}

// octets counts those that are not ASCII.
static uint32_t octets(const uint8_t *p, uint32_t n) {
	uint32_t sum = 0;
	for (uint32_t i = 0; i < n; i++) sum += p[i] >> 7;
	return sum;
}

// fields counts the header's fields and returns where the body starts.
static uint32_t fields(const uint8_t *p, uint32_t n, uint32_t *count) {
	uint32_t at = 0;
	*count = 0;
	while (at < n) {
		const uint8_t *nl = memchr(p + at, '\n', n - at);
		uint32_t end = nl ? (uint32_t)(nl - p) : n;
		uint32_t len = end > at && p[end - 1] == '\r' ? end - 1 - at : end - at;
		if (len == 0) return nl ? end + 1 : n;
		if (p[at] != ' ' && p[at] != '\t' && memchr(p + at, ':', len)) (*count)++;
		at = nl ? end + 1 : n;
	}
	return n;
}

static void count(const uint8_t *p, uint32_t n) {
	uint32_t h = 2166136261u;
	for (uint32_t i = 0; i < n; i++) h = (h ^ p[i]) * 16777619u;
	for (h %= SLOTS; slots[h]; h = (h + 1) % SLOTS) {
		struct word *w = &words[slots[h] - 1];
		if (w->len == n && !memcmp(w->text, p, n)) { w->count++; return; }
	}
	if (known == WORDS) return;
	words[known] = (struct word){p, n, 1};
	slots[h] = ++known;
}

static void collect(const uint8_t *p, uint32_t n) {
	for (uint32_t i = 0; i < n;) {
		while (i < n && (uint8_t)(p[i] - 'a') >= 26) i++;
		uint32_t start = i;
		while (i < n && (uint8_t)(p[i] - 'a') < 26) i++;
		if (i - start >= SHORTEST && i - start <= LONGEST) count(p + start, i - start);
	}
}

// order puts the more frequent word first, then the lesser one.
static int order(const void *x, const void *y) {
	const struct word *a = x, *b = y;
	if (a->count != b->count) return a->count < b->count ? 1 : -1;
	int c = memcmp(a->text, b->text, a->len < b->len ? a->len : b->len);
	return c ? c : (int)a->len - (int)b->len;
}

static char *text(char *o, const void *s, uint32_t n) { memcpy(o, s, n); return o + n; }

static char *number(char *o, uint32_t v) {
	char digits[10];
	int n = 0;
	do digits[n++] = '0' + v % 10; while (v /= 10);
	while (n) *o++ = digits[--n];
	return o;
}

static int32_t scan(void) {
	uint8_t *mail;
	int32_t len = load(&mail);
	if (len < 0) return len;
	uint32_t n;
	uint32_t body = fields(mail, len, &n);
	uint32_t other = octets(mail + body, len - body);
	lower(mail + body, len - body);
	known = 0;
	memset(slots, 0, sizeof slots);
	collect(mail + body, len - body);
	qsort(words, known, sizeof *words, order);
	char line[256], *o = line;
	o = number(text(o, "fields=", 7), n);
	o = number(text(o, " other=", 7), other);
	o = number(text(o, " words=", 7), known);
	for (uint32_t i = 0; i < known && i < SHOWN; i++) {
		o = text(text(o, " ", 1), words[i].text, words[i].len);
		o = number(text(o, "=", 1), words[i].count);
	}
	free(mail);
	int32_t id = hdr_add(-1, "X-Words", 7, line, o - line);
	return id < 0 ? id : 0;
}

static int32_t subject(void) {
	char value[1024];
	memcpy(value, "[list] ", 7);
	int32_t id = hdr_find("Subject", 7, -1);
	if (id < 0) return id;
	int32_t n = hdr_get(id, 2, value + 7, sizeof value - 7);
	if (n < 0) return n;
	if (n > (int32_t)sizeof value - 7) n = sizeof value - 7;
	n = hdr_set(id, value, n + 7);
	return n < 0 ? n : 0;
}

static int32_t add(void) {
	int32_t id = hdr_add(-1, "X-Filter", 8, "seen", 4);
	return id < 0 ? id : 0;
}

static char job; // the letter that tells nothing, add, sUbject and sCan apart

EXPORT("pr_init") int64_t pr_init(void) {
	static const char key[] = "{\"job\":\"";
	char text[64] = {0};
	if (config(text, sizeof text - 1) < (int32_t)sizeof key) return -8;
	if (memcmp(text, key, sizeof key - 1)) return -8;
	job = text[sizeof key - 1] == 's' ? text[sizeof key] : text[sizeof key - 1];
	return 1 << PHASE_MESSAGE;
}

EXPORT("pr_on") int32_t pr_on(int32_t phase, int32_t arg) {
	(void)phase, (void)arg;
	switch (job) {
	case 'c': return scan();
	case 'u': return subject();
	case 'a': return add();
	}
	return 0;
}
