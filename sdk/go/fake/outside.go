// SPDX-License-Identifier: Apache-2.0

package fake

import (
	"encoding/binary"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/postroad-mail/postroad/sdk/abi"
)

// entry is one entry of a TLV.
type entry struct {
	tag   int
	value string
}

// parse reads a TLV; ok is false when it is damaged.
func parse(b []byte) (entries []entry, ok bool) {
	for len(b) > 0 {
		if len(b) < 6 || uint64(binary.LittleEndian.Uint32(b[2:])) > uint64(len(b)-6) {
			return nil, false
		}
		end := 6 + int(binary.LittleEndian.Uint32(b[2:]))
		entries = append(entries, entry{int(binary.LittleEndian.Uint16(b)), string(b[6:end])})
		b = b[end:]
	}
	return entries, true
}

// add appends one entry to a TLV.
func add[T string | []byte](b []byte, tag int, value T) []byte {
	b = binary.LittleEndian.AppendUint16(b, uint16(tag))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(value)))
	return append(b, value...)
}

func u16(n int) []byte    { return binary.LittleEndian.AppendUint16(nil, uint16(n)) }
func u32(n uint32) []byte { return binary.LittleEndian.AppendUint32(nil, n) }
func i64(n int64) []byte  { return binary.LittleEndian.AppendUint64(nil, uint64(n)) }

// Score implements postroad.Host.
func (h *Host) Score(symbol string, milli int) int {
	if symbol == "" || strings.ContainsAny(symbol, " \r\n\x00") {
		return int(abi.ErrBadArgument)
	}
	if h.Scores == nil {
		h.Scores = map[string]int{}
	}
	h.Scores[symbol] += milli
	return 0
}

func (h *Host) score() int64 {
	sum := int64(0)
	for _, n := range h.Scores {
		sum += int64(n)
	}
	return sum
}

// Split implements postroad.Host: it notes what was moved, and leaves the
// recipients where they are.
func (h *Host) Split(rcpts []byte) int {
	var moved []int
	for ; len(rcpts) >= 4; rcpts = rcpts[4:] {
		i := int(binary.LittleEndian.Uint32(rcpts))
		if !h.live(i) {
			return int(abi.ErrNotFound)
		}
		moved = append(moved, i)
	}
	if len(moved) == 0 {
		return int(abi.ErrBadArgument)
	}
	h.Children = append(h.Children, moved)
	return len(h.Children)
}

// Use implements postroad.Host.
func (h *Host) Use(handle int) int {
	if handle < 0 || handle > len(h.Children) {
		return int(abi.ErrNotFound)
	}
	h.Using = handle
	return 0
}

// QueueSet implements postroad.Host.
func (h *Host) QueueSet(key int, val int64) int {
	if key < abi.QueueNotBefore || key > abi.QueueDSN {
		return int(abi.ErrUnsupported)
	}
	if h.Queue == nil {
		h.Queue = map[int]int64{}
	}
	h.Queue[key] = val
	return 0
}

// LabelSet implements postroad.Host.
func (h *Host) LabelSet(key int, value string) int {
	field, ok := map[int]int{abi.LabelTenant: abi.FieldTenant, abi.LabelCampaign: abi.FieldCampaign}[key]
	switch {
	case !ok:
		return int(abi.ErrUnsupported)
	case len(value) > 64 || strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r >= 0x7f }):
		return int(abi.ErrBadArgument)
	case value == "":
		delete(h.Text, field)
		return 0
	case h.Text == nil:
		h.Text = map[int]string{}
	}
	h.Text[field] = value
	return 0
}

// Emit implements postroad.Host: Emission reads what was emitted.
func (h *Host) Emit(tlv []byte) int {
	entries, ok := parse(tlv)
	if !ok || !slices.ContainsFunc(entries, func(e entry) bool { return e.tag == abi.EmitRecipient }) {
		return int(abi.ErrBadArgument)
	}
	h.Emitted = append(h.Emitted, slices.Clone(tlv))
	return 0
}

// Emission returns the values of a tag, such as abi.EmitRecipient, of the n-th
// message that was emitted.
func (h *Host) Emission(n, tag int) []string {
	var values []string
	entries, _ := parse(h.Emitted[n])
	for _, e := range entries {
		if e.tag == tag {
			values = append(values, e.value)
		}
	}
	return values
}

// DNS implements postroad.Host with what is in Zone.
func (h *Host) DNS(rrtype int, name string, buf []byte) int {
	records := h.Zone[strings.ToLower(name)+"/"+strconv.Itoa(rrtype)]
	if len(records) == 0 {
		return int(abi.ErrNotFound)
	}
	var b []byte
	for _, r := range records {
		v := add(add(nil, abi.DNSTTL, u32(r.TTL)), abi.DNSData, r.Data)
		if r.Preference != 0 {
			v = add(v, abi.DNSPreference, u16(r.Preference))
		}
		b = add(b, abi.DNSRecord, v)
	}
	return put(buf, b)
}

// request reads the TLV of a request.
func request(tlv []byte) (r Request, ok bool) {
	entries, ok := parse(tlv)
	for _, e := range entries {
		switch e.tag {
		case abi.HTTPMethod:
			r.Method = e.value
		case abi.HTTPURL:
			r.URL = e.value
		case abi.HTTPHeader:
			r.Header = append(r.Header, e.value)
		case abi.HTTPBody:
			r.Body = e.value
		case abi.HTTPAtCommit:
			r.AtCommit = true
		}
	}
	return r, ok && r.URL != ""
}

// HTTP implements postroad.Host with what Answer says.
func (h *Host) HTTP(tlv, answer []byte) int {
	r, ok := request(tlv)
	switch {
	case !ok || !r.AtCommit && len(answer) < 12:
		return int(abi.ErrBadArgument)
	case h.Answer == nil:
		return int(abi.ErrDenied)
	}
	h.Sent = append(h.Sent, r)
	if r.AtCommit {
		return 0
	}
	a := h.Answer(r)
	h.answers = append(h.answers, a)
	copy(answer, slices.Concat(u32(uint32(a.Status)), i64(int64(len(a.Body)))))
	return len(h.answers) - 1
}

// HTTPRead implements postroad.Host.
func (h *Host) HTTPRead(handle int, off int64, buf []byte) int {
	if handle < 0 || handle >= len(h.answers) {
		return int(abi.ErrNotFound)
	}
	return from(h.answers[handle].Body, off, buf)
}

// HTTPHeader implements postroad.Host.
func (h *Host) HTTPHeader(handle int, name string, buf []byte) int {
	if handle < 0 || handle >= len(h.answers) {
		return int(abi.ErrNotFound)
	}
	for k, v := range h.answers[handle].Header {
		if strings.EqualFold(k, name) {
			return put(buf, v)
		}
	}
	return int(abi.ErrNotFound)
}

// Metric implements postroad.Host.
func (h *Host) Metric(kind int, name string, val int64) int {
	if name == "" || kind < abi.MetricCounter || kind > abi.MetricHistogram || kind == abi.MetricCounter && val < 0 {
		return int(abi.ErrBadArgument)
	}
	if h.Metrics == nil {
		h.Metrics = map[string]int64{}
	}
	if kind == abi.MetricCounter {
		val += h.Metrics[name]
	}
	h.Metrics[name] = val
	return 0
}

// EHLOSet implements postroad.Host.
func (h *Host) EHLOSet(op int, line string) int {
	word := func(l string) string { w, _, _ := strings.Cut(l, " "); return strings.ToUpper(w) }
	at := slices.IndexFunc(h.EHLO, func(l string) bool { return word(l) == word(line) })
	switch {
	case op == abi.EHLORemove && at < 0:
		return int(abi.ErrNotFound)
	case op == abi.EHLORemove:
		h.EHLO = slices.Delete(h.EHLO, at, at+1)
	case op != abi.EHLOAdd || word(line) == "":
		return int(abi.ErrBadArgument)
	case at >= 0:
		return int(abi.ErrConflict)
	default:
		h.EHLO = append(h.EHLO, line)
	}
	return 0
}

// Snapshot implements postroad.Host.
func (h *Host) Snapshot(format int, buf []byte) int {
	switch format {
	case abi.SnapshotTLV:
		return put(buf, h.snapshot())
	case abi.SnapshotJSON:
		return put(buf, h.snapshotJSON())
	}
	return int(abi.ErrUnsupported)
}

// value returns a field as octets; a number as an i64.
func (h *Host) value(f abi.Field) (v []byte, ok bool) {
	if f.Type == "int" {
		n := h.GetInt(f.Number, 0)
		return i64(n), n != abi.Absent
	}
	v = make([]byte, max(0, h.Get(f.Number, 0, nil)))
	return v, h.Get(f.Number, 0, v) >= 0
}

func (h *Host) snapshot() []byte {
	var b []byte
	for _, f := range abi.Fields() {
		if v, ok := h.value(f); ok && !f.Indexed {
			b = add(b, f.Number, v)
		}
	}
	for i, r := range h.Recipients {
		if r.Removed {
			continue
		}
		v := add(add(nil, abi.SnapshotIndex, u32(uint32(i))), abi.FieldRcpt, r.Address)
		if r.Original != "" {
			v = add(v, abi.FieldOriginalRcpt, r.Original)
		}
		b = add(b, abi.SnapshotRecipient, v)
	}
	for _, f := range h.Header {
		b = add(b, abi.SnapshotHeader, f.Name+": "+f.Value+"\r\n")
	}
	for name, milli := range h.Scores {
		b = add(b, abi.SnapshotSymbol, append(u32(uint32(int32(milli))), name...))
	}
	return b
}

func (h *Host) snapshotJSON() []byte {
	o := map[string]any{}
	for _, f := range abi.Fields() {
		v, ok := h.value(f)
		switch {
		case !ok || f.Indexed:
		case f.Type == "int":
			o[f.Name] = h.GetInt(f.Number, 0)
		case f.Type == "bytes":
			o[f.Name+"_b64"] = v
		default:
			o[f.Name] = string(v)
		}
	}
	var rcpts []map[string]any
	for i, r := range h.Recipients {
		if !r.Removed {
			rcpts = append(rcpts, map[string]any{"index": i, "rcpt": r.Address, "original_rcpt": r.Original})
		}
	}
	o["recipients"] = rcpts
	b, _ := json.Marshal(o)
	return b
}
