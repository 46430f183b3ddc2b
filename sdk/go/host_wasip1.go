// SPDX-License-Identifier: Apache-2.0

package postroad

import "unsafe"

// imports is the Host that a guest reaches through the functions it imports.
type imports struct{}

func ptr(b []byte) unsafe.Pointer       { return unsafe.Pointer(unsafe.SliceData(b)) }
func str(s string) unsafe.Pointer       { return unsafe.Pointer(unsafe.StringData(s)) }
func size[T string | []byte](v T) int32 { return int32(len(v)) }

func (imports) Get(field, idx int, buf []byte) int {
	return int(hostGet(int32(field), int32(idx), ptr(buf), size(buf)))
}

func (imports) GetInt(field, idx int) int64 { return hostGetInt(int32(field), int32(idx)) }

func (imports) Reply(code, enhanced int, text string) int {
	return int(hostReply(int32(code), int32(enhanced), str(text), size(text)))
}

func (imports) RcptVerdict(idx, verdict, code, enhanced int, text string) int {
	return int(hostRcptVerdict(int32(idx), int32(verdict), int32(code), int32(enhanced), str(text), size(text)))
}

func (imports) HdrFind(name string, after int) int {
	return int(hostHdrFind(str(name), size(name), int32(after)))
}

func (imports) HdrGet(id, part int, buf []byte) int {
	return int(hostHdrGet(int32(id), int32(part), ptr(buf), size(buf)))
}

func (imports) HdrAdd(pos int, name, value string) int {
	return int(hostHdrAdd(int32(pos), str(name), size(name), str(value), size(value)))
}

func (imports) HdrSet(id int, value string) int {
	return int(hostHdrSet(int32(id), str(value), size(value)))
}

func (imports) HdrDel(id int) int { return int(hostHdrDel(int32(id))) }

func (imports) RcptAdd(address string) int { return int(hostRcptAdd(str(address), size(address))) }

func (imports) RcptSet(idx int, address string) int {
	return int(hostRcptSet(int32(idx), str(address), size(address)))
}

func (imports) RcptDel(idx int) int { return int(hostRcptDel(int32(idx))) }

func (imports) SenderSet(address string) int {
	return int(hostSenderSet(str(address), size(address)))
}

func (imports) MsgSize(view int) int64 { return hostMsgSize(int32(view)) }

func (imports) MsgRead(view int, off int64, buf []byte) int {
	return int(hostMsgRead(int32(view), off, ptr(buf), size(buf)))
}

func (imports) BodyWrite(p []byte, flags int) int {
	return int(hostBodyWrite(ptr(p), size(p), int32(flags)))
}

func (imports) PartCount() int { return int(hostPartCount()) }

func (imports) PartGet(i, field int, buf []byte) int {
	return int(hostPartGet(int32(i), int32(field), ptr(buf), size(buf)))
}

func (imports) PartRead(i, view int, off int64, buf []byte) int {
	return int(hostPartRead(int32(i), int32(view), off, ptr(buf), size(buf)))
}

func (imports) MetaGet(scope int, key string, buf []byte) int {
	return int(hostMetaGet(int32(scope), str(key), size(key), ptr(buf), size(buf)))
}

func (imports) MetaSet(scope int, key, value string) int {
	return int(hostMetaSet(int32(scope), str(key), size(key), str(value), size(value)))
}

func (imports) Score(symbol string, milli int) int {
	return int(hostScore(str(symbol), size(symbol), int32(milli)))
}

func (imports) Split(rcpts []byte) int { return int(hostSplit(ptr(rcpts), size(rcpts)/4)) }

func (imports) Use(handle int) int { return int(hostUse(int32(handle))) }

func (imports) RouteSet(idx int, tlv []byte) int {
	return int(hostRouteSet(int32(idx), ptr(tlv), size(tlv)))
}

func (imports) QueueSet(key int, val int64) int { return int(hostQueueSet(int32(key), val)) }

func (imports) LabelSet(key int, value string) int {
	return int(hostLabelSet(int32(key), str(value), size(value)))
}

func (imports) Emit(tlv []byte) int { return int(hostEmit(ptr(tlv), size(tlv))) }

func (imports) Store(name string) int { return int(hostStore(str(name), size(name))) }

func (imports) KVGet(store int, key string, buf []byte) int {
	return int(hostKVGet(int32(store), str(key), size(key), ptr(buf), size(buf)))
}

func (imports) KVPut(store int, key string, value []byte, ttlMS int64, flags int) int {
	return int(hostKVPut(int32(store), str(key), size(key), ptr(value), size(value), ttlMS, int32(flags)))
}

func (imports) KVDel(store int, key string) int {
	return int(hostKVDel(int32(store), str(key), size(key)))
}

func (imports) KVAdd(store int, key string, delta, ttlMS int64) (int64, int) {
	var out int64 // WebAssembly is little-endian, as the ABI is
	n := hostKVAdd(int32(store), str(key), size(key), delta, ttlMS, unsafe.Pointer(&out))
	return out, int(n)
}

func (imports) KVCas(store int, key string, old, value []byte, ttlMS int64) int {
	return int(hostKVCas(int32(store), str(key), size(key), ptr(old), size(old), ptr(value), size(value), ttlMS))
}

func (imports) Bucket(name string) int { return int(hostBucket(str(name), size(name))) }

func (imports) RateTake(bucket int, key string, cost int) (int64, int) {
	var out int64
	n := hostRateTake(int32(bucket), str(key), size(key), int32(cost), unsafe.Pointer(&out))
	return out, int(n)
}

func (imports) DNS(rrtype int, name string, buf []byte) int {
	return int(hostDNS(int32(rrtype), str(name), size(name), ptr(buf), size(buf)))
}

func (imports) HTTP(tlv, answer []byte) int {
	return int(hostHTTP(ptr(tlv), size(tlv), ptr(answer), size(answer)))
}

func (imports) HTTPRead(handle int, off int64, buf []byte) int {
	return int(hostHTTPRead(int32(handle), off, ptr(buf), size(buf)))
}

func (imports) HTTPHeader(handle int, name string, buf []byte) int {
	return int(hostHTTPHeader(int32(handle), str(name), size(name), ptr(buf), size(buf)))
}

func (imports) EHLOSet(op int, line string) int {
	return int(hostEHLOSet(int32(op), str(line), size(line)))
}

func (imports) Snapshot(format int, buf []byte) int {
	return int(hostSnapshot(int32(format), ptr(buf), size(buf)))
}

func (imports) Secret(name string, buf []byte) int {
	return int(hostSecret(str(name), size(name), ptr(buf), size(buf)))
}

func (imports) Metric(kind int, name string, val int64) int {
	return int(hostMetric(int32(kind), str(name), size(name), val))
}

func (imports) Random(buf []byte) int { return int(hostRandom(ptr(buf), size(buf))) }

func (imports) Config(buf []byte) int { return int(hostConfig(ptr(buf), size(buf))) }

func (imports) Log(level int, text string) { hostLog(int32(level), str(text), size(text)) }

func (imports) LogOn(level int) bool { return hostLogOn(int32(level)) == 1 }

func (imports) Now() int64 { return hostNow() }
