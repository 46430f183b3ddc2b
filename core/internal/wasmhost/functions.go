// SPDX-License-Identifier: Apache-2.0

package wasmhost

import (
	"context"
	"errors"

	"github.com/tetratelabs/wazero/api"

	"github.com/postroad-mail/postroad/sdk/abi"
)

// function is one host function as a guest calls it: who may, and what it does.
// It implements api.GoModuleFunction. Parameters arrive on the stack, and the
// result leaves there.
type function struct {
	name   string
	grant  string // in the words of the ABI
	phases uint64 // bit n: it may be called in phase n
	init   bool   // it may be called while the instance starts
	needs  power  // any of these opens it; 0: always open
	wide   bool   // the result is an i64
	run    body
}

// body is what a host function does: a result >= 0, or an error's number.
type body func(i *instance, stack []uint64) int64

// Call implements api.GoModuleFunction.
func (f *function) Call(ctx context.Context, _ api.Module, stack []uint64) {
	i := instanceOf(ctx)
	i.enter()
	r := f.guarded(i, stack)
	switch {
	case len(stack) == 0:
	case f.wide:
		stack[0] = uint64(r)
	default:
		stack[0] = api.EncodeI32(int32(r))
	}
}

// guarded runs f when phase and grant allow it.
func (f *function) guarded(i *instance, stack []uint64) int64 {
	switch {
	case i.hook == nil && !f.init:
		return int64(abi.ErrWrongPhase)
	case i.hook != nil && f.phases>>uint(i.hook.Phase())&1 == 0:
		return int64(abi.ErrWrongPhase)
	case f.needs != 0 && f.needs&i.stage.powers == 0:
		i.used.denied = f
		return int64(abi.ErrDenied)
	}
	r := f.run(i, stack)
	if r == int64(abi.ErrDenied) {
		i.used.denied = f
	}
	return r
}

// lastDenied tells of the call that was denied last; empty when there was none.
func (i *instance) lastDenied() string {
	f := i.used.denied
	switch {
	case f == nil:
		return ""
	case powerOf(f.grant)&i.stage.powers != 0:
		return "last denied: " + f.name + ", which is granted, but not for what it named"
	case f.grant != "":
		return "last denied: " + f.name + ", which needs " + f.grant
	}
	return "last denied: " + f.name
}

// functions makes the table of host functions: when each may be called comes
// from the ABI's own table, what it does from implementations. A function that
// is reserved but not served is not in it.
func functions() map[string]*function {
	table := make(map[string]*function)
	run := implementations()
	for _, s := range abi.Functions() {
		if !s.Served || run[s.Name] == nil {
			continue
		}
		wide := len(s.Results) == 1 && s.Results[0] == abi.I64
		table[s.Name] = &function{name: s.Name, grant: s.Grant, phases: s.Phases, init: s.Init, needs: needs(&s), wide: wide, run: run[s.Name]}
	}
	return table
}

// needs reads the grant of the ABI's table. get and get_int look at the field,
// for some are free.
func needs(f *abi.Function) power {
	if f.Name == "get" || f.Name == "get_int" {
		return 0
	}
	return powerOf(f.Grant)
}

// powerOf returns what opens a grant in the words of the ABI.
func powerOf(grant string) power {
	return map[string]power{
		"read envelope":     readEnvelope,
		"read headers":      readHeaders,
		"read body":         readBody,
		"write headers":     writeHeaders,
		"write body":        writeBody,
		"write recipients":  writeRecipients,
		"write sender":      writeSender,
		"write queue":       writeQueue,
		"write ehlo":        writeEHLO,
		"routes, next_hops": choose,
		"kv":                useStores,
		"buckets":           useBuckets,
		"dns":               useDNS,
		"http":              useHTTP,
		"emit":              useEmit,
		"secrets":           useSecrets,
	}[grant]
}

func implementations() map[string]body {
	return map[string]body{
		"get": get, "get_int": getInt,
		"reply": reply, "rcpt_verdict": rcptVerdict,
		"hdr_find": hdrFind, "hdr_get": hdrGet, "hdr_add": hdrAdd, "hdr_set": hdrSet, "hdr_del": hdrDel,
		"rcpt_add": rcptAdd, "rcpt_set": rcptSet, "rcpt_del": rcptDel, "sender_set": senderSet,
		"msg_size": msgSize, "msg_read": msgRead, "body_write": bodyWrite,
		"part_count": partCount, "part_get": partGet, "part_read": partRead,
		"meta_get": metaGet, "meta_set": metaSet, "route_set": routeSet,
		"store": storeHandle, "kv_get": kvGet, "kv_put": kvPut, "kv_del": kvDel, "kv_add": kvAdd, "kv_cas": kvCAS,
		"bucket": bucketHandle, "rate_take": rateTake,
		"score": score, "split": splitRecipients, "use": useEnvelope, "queue_set": queueSet, "label_set": labelSet, "ehlo_set": ehloSet, "emit": emit,
		"dns": dnsLookup, "http": httpRequest, "http_read": httpRead, "http_header": httpHeader,
		"secret": secret, "metric": metric, "snapshot": takeSnapshot,
		"config": config, "log": logLine, "log_on": logOn, "now": now, "random": random,
	}
}

// errno is the number of an error for the guest. What is no abi.Errno is a fault
// of the host's surroundings: the guest learns that much, the log the rest.
func (i *instance) errno(what string, err error) int64 {
	if err == nil {
		return 0
	}
	var e abi.Errno
	if !errors.As(err, &e) {
		e = abi.ErrIO
	}
	if e == abi.ErrIO {
		i.stage.logger.Error("host function failed", "id", i.out.id, "function", what, "error", err)
	}
	return int64(e)
}

// view is a range of the guest's memory, which is valid until the host function
// returns. A range outside of it traps.
func (i *instance) view(p, n uint64) []byte {
	b, ok := i.mod.Memory().Read(uint32(p), uint32(n))
	if !ok {
		panic(errRange)
	}
	return b
}

// put writes data into the buffer b of capacity c if it fits, and returns its
// length.
func (i *instance) put(b, c uint64, data []byte) int64 {
	if buf := i.view(b, c); len(data) <= len(buf) {
		copy(buf, data)
	}
	return int64(len(data))
}

func (i *instance) putString(b, c uint64, data string) int64 {
	if buf := i.view(b, c); len(data) <= len(buf) {
		copy(buf, data)
	}
	return int64(len(data))
}

// arg reads an i32 parameter.
func arg(v uint64) int { return int(int32(uint32(v))) }

func config(i *instance, s []uint64) int64 { return i.put(s[0], s[1], i.stage.config) }

func now(i *instance, _ []uint64) int64 { return i.stage.clock.Now().UnixMilli() }

func random(i *instance, s []uint64) int64 {
	buf := i.view(s[0], s[1])
	i.charge(int64(len(buf)))
	if _, err := i.stage.host.random.Read(buf); err != nil {
		return i.errno("random", err)
	}
	return int64(len(buf))
}

func logLine(i *instance, s []uint64) int64 {
	i.out.say(level(arg(s[0])), i.view(s[1], s[2]))
	return 0
}

func logOn(i *instance, s []uint64) int64 {
	if i.stage.logger.GetLevel() <= level(arg(s[0])) {
		return 1
	}
	return 0
}
