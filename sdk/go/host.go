// SPDX-License-Identifier: Apache-2.0

package postroad

import "github.com/postroad-mail/postroad/sdk/abi"

// Host is the plugin ABI in Go terms: one method per host function, results as
// the ABI has them (>= 0 done, < 0 an abi.Errno). Reads with a buffer return the
// true length and write only when it fits, but for MsgRead, PartRead, HTTPRead and
// Random. Guests reach the relay through it, tests a fake.
type Host interface {
	Get(field, idx int, buf []byte) int
	GetInt(field, idx int) int64
	Reply(code, enhanced int, text string) int
	RcptVerdict(idx, verdict, code, enhanced int, text string) int
	HdrFind(name string, after int) int
	HdrGet(id, part int, buf []byte) int
	HdrAdd(pos int, name, value string) int
	HdrSet(id int, value string) int
	HdrDel(id int) int
	RcptAdd(address string) int
	RcptSet(idx int, address string) int
	RcptDel(idx int) int
	SenderSet(address string) int
	MsgSize(view int) int64
	MsgRead(view int, off int64, buf []byte) int
	BodyWrite(p []byte, flags int) int
	PartCount() int
	PartGet(i, field int, buf []byte) int
	PartRead(i, view int, off int64, buf []byte) int
	MetaGet(scope int, key string, buf []byte) int
	MetaSet(scope int, key, value string) int
	Score(symbol string, milli int) int
	Split(rcpts []byte) int // u32 each
	Use(handle int) int
	RouteSet(idx int, tlv []byte) int
	QueueSet(key int, val int64) int
	LabelSet(key int, value string) int
	Emit(tlv []byte) int
	Store(name string) int
	KVGet(store int, key string, buf []byte) int
	KVPut(store int, key string, value []byte, ttlMS int64, flags int) int
	KVDel(store int, key string) int
	KVAdd(store int, key string, delta, ttlMS int64) (value int64, result int)
	KVCas(store int, key string, old, value []byte, ttlMS int64) int
	Bucket(name string) int
	RateTake(bucket int, key string, cost int) (waitMS int64, result int)
	DNS(rrtype int, name string, buf []byte) int
	HTTP(tlv, answer []byte) int
	HTTPRead(handle int, off int64, buf []byte) int
	HTTPHeader(handle int, name string, buf []byte) int
	EHLOSet(op int, line string) int
	Snapshot(format int, buf []byte) int
	Config(buf []byte) int
	Secret(name string, buf []byte) int
	Metric(kind int, name string, val int64) int
	Random(buf []byte) int
	Log(level int, text string)
	LogOn(level int) bool
	Now() int64
}

// firstRead is what a first read has room for: most fields and values are
// shorter, so one call of the host is enough.
const firstRead = 256

// read returns a value whose length the host tells. It uses buf when the value
// fits; the result is valid until buf is used again.
func read(buf []byte, f func([]byte) int) ([]byte, error) {
	if cap(buf) == 0 {
		buf = make([]byte, firstRead)
	}
	buf = buf[:cap(buf)]
	for {
		n := f(buf)
		if n < 0 {
			return nil, abi.Errno(n)
		}
		if n <= len(buf) {
			return buf[:n], nil
		}
		buf = make([]byte, n)
	}
}

// check turns a result of the host into an error.
func check(n int) error {
	if n < 0 {
		return abi.Errno(n)
	}
	return nil
}
