// SPDX-License-Identifier: Apache-2.0

// words: the job of core/bench/filters in AssemblyScript, with its own String,
// Map and Array.

// @ts-ignore: decorator
@external("postroad_v1", "config")
declare function config(b: usize, c: i32): i32;
// @ts-ignore: decorator
@external("postroad_v1", "msg_read")
declare function msg_read(view: i32, off: i64, b: usize, c: i32): i32;
// @ts-ignore: decorator
@external("postroad_v1", "hdr_find")
declare function hdr_find(p: usize, n: i32, after: i32): i32;
// @ts-ignore: decorator
@external("postroad_v1", "hdr_get")
declare function hdr_get(id: i32, part: i32, b: usize, c: i32): i32;
// @ts-ignore: decorator
@external("postroad_v1", "hdr_set")
declare function hdr_set(id: i32, p: usize, n: i32): i32;
// @ts-ignore: decorator
@external("postroad_v1", "hdr_add")
declare function hdr_add(pos: i32, np: usize, nn: i32, vp: usize, vn: i32): i32;

const PHASE_MESSAGE: i64 = 9;
const CHUNK: i32 = 64 << 10;
const LARGEST: i32 = 16 << 20;
const WORDS: i32 = 200;
const SHORTEST: i32 = 3;
const LONGEST: i32 = 24;
const SHOWN: i32 = 5;

class Word {
  count: i32 = 1;
  constructor(public text: string) {}
}

/** Reads the whole message; null when the host refuses. */
function load(): Uint8Array | null {
  let buf = new Uint8Array(2 * CHUNK);
  let len = 0;
  let n = CHUNK;
  while (n > 0) {
    if (buf.length - len < CHUNK) {
      if (2 * buf.length > LARGEST) return null;
      const more = new Uint8Array(2 * buf.length);
      more.set(buf);
      buf = more;
    }
    n = msg_read(0, len, buf.dataStart + len, CHUNK);
    if (n < 0) return null;
    len += n;
  }
  return buf.subarray(0, len);
}

class Header {
  fields: i32 = 0;
  body: i32 = 0;
}

/** Counts the header's fields and finds the body. */
function header(mail: Uint8Array): Header {
  const h = new Header();
  let at = 0;
  while (at < mail.length) {
    let end = mail.indexOf(0x0a, at);
    const next = end < 0 ? mail.length : end + 1;
    if (end < 0) end = mail.length;
    if (end > at && mail[end - 1] == 0x0d) end--;
    if (end == at) {
      h.body = next;
      return h;
    }
    const folded = mail[at] == 0x20 || mail[at] == 0x09;
    if (!folded && mail.subarray(at, end).includes(0x3a)) h.fields++;
    at = next;
  }
  h.body = mail.length;
  return h;
}

function isLetter(c: u8): bool {
  return <u8>(c - 0x61) < 26;
}

function scan(): i32 {
  const mail = load();
  if (mail === null) return -7;
  const h = header(mail);
  let other = 0;
  for (let i = h.body; i < mail.length; i++) {
    const c = unchecked(mail[i]);
    if (c >= 0x80) other++;
    if (<u8>(c - 0x41) < 26) unchecked((mail[i] = c | 0x20));
  }
  const known = new Map<string, Word>();
  for (let i = h.body; i < mail.length; ) {
    while (i < mail.length && !isLetter(mail[i])) i++;
    const start = i;
    while (i < mail.length && isLetter(mail[i])) i++;
    if (i - start < SHORTEST || i - start > LONGEST) continue;
    const text = String.UTF8.decodeUnsafe(mail.dataStart + start, i - start);
    if (known.has(text)) {
      known.get(text).count++;
    } else if (known.size < WORDS) {
      known.set(text, new Word(text));
    }
  }
  const words = known.values();
  words.sort((a, b) => (a.count != b.count ? b.count - a.count : a.text < b.text ? -1 : a.text > b.text ? 1 : 0));
  let line = `fields=${h.fields} other=${other} words=${words.length}`;
  for (let i = 0; i < min(SHOWN, words.length); i++) line += ` ${words[i].text}=${words[i].count}`;
  return add("X-Words", line);
}

function add(name: string, value: string): i32 {
  const n = String.UTF8.encode(name);
  const v = String.UTF8.encode(value);
  const id = hdr_add(-1, changetype<usize>(n), n.byteLength, changetype<usize>(v), v.byteLength);
  return min(id, 0);
}

function subject(): i32 {
  const name = String.UTF8.encode("Subject");
  const id = hdr_find(changetype<usize>(name), name.byteLength, -1);
  if (id < 0) return id;
  const buf = new ArrayBuffer(1024);
  const n = hdr_get(id, 2, changetype<usize>(buf), buf.byteLength);
  if (n < 0) return n;
  const value = String.UTF8.encode("[list] " + String.UTF8.decodeUnsafe(changetype<usize>(buf), min(n, buf.byteLength)));
  return min(hdr_set(id, changetype<usize>(value), value.byteLength), 0);
}

let job = "";

export function pr_init(): i64 {
  const buf = new ArrayBuffer(64);
  const n = config(changetype<usize>(buf), buf.byteLength);
  const text = String.UTF8.decodeUnsafe(changetype<usize>(buf), max(0, min(n, buf.byteLength)));
  if (!text.startsWith('{"job":"')) return -8;
  job = text.substring(8, text.indexOf('"', 8));
  return 1 << PHASE_MESSAGE;
}

export function pr_on(phase: i32, arg: i32): i32 {
  if (job == "scan") return scan();
  if (job == "subject") return subject();
  if (job == "add") return add("X-Filter", "seen");
  return 0;
}
