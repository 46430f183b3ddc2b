// SPDX-License-Identifier: Apache-2.0

// Package fake is a host in memory, for native unit tests of plugin logic:
//
//	host := &fake.Host{Sender: "ann@example.org", Header: []fake.Field{{Name: "Subject", Value: "hi"}}}
//	verdict, err := check(postroad.NewHook(host, postroad.Message, 0))
//
// It checks neither grants nor phases nor limits, and it keeps edits whatever
// the verdict is. core/plugintest runs the built module on the real host; use it
// for everything that depends on those.
package fake

import (
	"bytes"
	"mime"
	"strconv"
	"strings"
	"time"

	"github.com/postroad-mail/postroad/sdk/abi"
)

// Host is a transaction and the world around it. Fill in what the test needs;
// the zero value is an empty message from the null sender. It implements
// postroad.Host and is not safe for use by several goroutines.
type Host struct {
	Stage      string           // name of the stage
	JSON       string           // its config block; empty means {}
	Text       map[int]string   // text fields by number, but for sender and recipients
	Int        map[int]int64    // integer fields by number, but for counts and sizes
	Sender     string           // current envelope sender
	Recipients []Recipient      // by index
	Header     []Field          // in order
	Body       string           // as the hook reads it
	Chunk      string           // of phase body
	Parts      []map[int]string // fields of the MIME parts by number
	Contents   []string         // of the MIME parts by index, the same in every view
	Notes      [2]map[string]string
	Stores     map[string]map[string][]byte
	Buckets    map[string]int // tokens left, whatever the key
	Clock      time.Time
	EHLO       []string               // the list that EHLO answers with
	Secrets    map[string]string      // by name
	Zone       map[string][]Record    // what the DNS has, by "name/type": "example.org/15"
	Answer     func(Request) Response // to HTTP requests; nil: they are denied
	Randomness byte                   // every random octet

	NewBody  []byte         // what was written; nil when nothing was
	Routes   map[int]string // by recipient index, -1 = all; "name" or "host:port"
	Response string         // "550 5.7.1 text" as Reply set it
	Verdicts map[int]string // by recipient index: "2 550 5.7.1 text"
	Logged   []string
	Scores   map[string]int   // thousandths by symbol
	Queue    map[int]int64    // options of the queue by key
	Emitted  [][]byte         // new messages as TLV
	Sent     []Request        // HTTP requests, at once and at the commit
	Metrics  map[string]int64 // last value, or sum of a counter, by name with labels
	Children [][]int          // recipients that Split moved, by handle from 1 on
	Using    int              // the envelope in use; the fake edits one and the same

	answers []Response // by handle

	ids     []int // of the header fields
	nextID  int
	stores  []string
	buckets []string
}

// Recipient is one forward-path.
type Recipient struct {
	Address  string
	Original string // empty when a stage added it
	Removed  bool
}

// Field is a header field.
type Field struct{ Name, Value string }

// Record is one record of the fake's DNS.
type Record struct {
	TTL        uint32 // seconds
	Data       string
	Preference int // of an MX; 0 elsewhere
}

// Request is an HTTP request of the plugin's.
type Request struct {
	Method, URL, Body string
	Header            []string
	AtCommit          bool
}

// Response is the fake's answer to a Request.
type Response struct {
	Status int
	Header map[string]string // by name as the plugin asks for it, in any case
	Body   string
}

// put copies v into buf when it fits and returns its length.
func put[T string | []byte](buf []byte, v T) int {
	if len(v) <= len(buf) {
		copy(buf, v)
	}
	return len(v)
}

// Get implements postroad.Host.
func (h *Host) Get(field, idx int, buf []byte) int {
	switch field {
	case abi.FieldStage:
		return put(buf, h.Stage)
	case abi.FieldSender:
		return put(buf, h.Sender)
	case abi.FieldRcpt, abi.FieldOriginalRcpt:
		return h.recipient(field, idx, buf)
	}
	v, ok := h.Text[field]
	if !ok {
		return int(abi.ErrNotFound)
	}
	return put(buf, v)
}

func (h *Host) recipient(field, idx int, buf []byte) int {
	if !h.live(idx) {
		return int(abi.ErrNotFound)
	}
	if field == abi.FieldRcpt {
		return put(buf, h.Recipients[idx].Address)
	}
	if h.Recipients[idx].Original == "" {
		return int(abi.ErrNotFound)
	}
	return put(buf, h.Recipients[idx].Original)
}

func (h *Host) live(idx int) bool {
	return idx >= 0 && idx < len(h.Recipients) && !h.Recipients[idx].Removed
}

// GetInt implements postroad.Host.
func (h *Host) GetInt(field, _ int) int64 {
	switch field {
	case abi.FieldScore:
		return h.score()
	case abi.FieldRcptCount:
		return int64(len(h.Recipients))
	case abi.FieldHeaderCount:
		return int64(len(h.Header))
	case abi.FieldMessageSize:
		return h.MsgSize(abi.ViewMessage)
	case abi.FieldABIMinor:
		return abi.Minor
	}
	if n, ok := h.Int[field]; ok {
		return n
	}
	return abi.Absent
}

// Reply implements postroad.Host.
func (h *Host) Reply(code, enhanced int, text string) int {
	h.Response = reply(code, enhanced, text)
	return 0
}

func reply(code, enhanced int, text string) string {
	status := []string{strconv.Itoa(enhanced >> 20), strconv.Itoa(enhanced >> 10 & 1023), strconv.Itoa(enhanced & 1023)}
	return strconv.Itoa(code) + " " + strings.Join(status, ".") + " " + text
}

// RcptVerdict implements postroad.Host.
func (h *Host) RcptVerdict(idx, verdict, code, enhanced int, text string) int {
	if !h.live(idx) {
		return int(abi.ErrNotFound)
	}
	if h.Verdicts == nil {
		h.Verdicts = map[int]string{}
	}
	h.Verdicts[idx] = strconv.Itoa(verdict) + " " + reply(code, enhanced, text)
	return 0
}

// RcptAdd implements postroad.Host.
func (h *Host) RcptAdd(address string) int {
	h.Recipients = append(h.Recipients, Recipient{Address: address})
	return len(h.Recipients) - 1
}

// RcptSet implements postroad.Host.
func (h *Host) RcptSet(idx int, address string) int {
	if !h.live(idx) {
		return int(abi.ErrNotFound)
	}
	h.Recipients[idx].Address = address
	return 0
}

// RcptDel implements postroad.Host.
func (h *Host) RcptDel(idx int) int {
	if !h.live(idx) {
		return int(abi.ErrNotFound)
	}
	h.Recipients[idx].Removed = true
	return 0
}

// SenderSet implements postroad.Host.
func (h *Host) SenderSet(address string) int {
	h.Sender = address
	return 0
}

// message returns a view of the message.
func (h *Host) message(view int) string {
	switch view {
	case abi.ViewBody:
		return h.Body
	case abi.ViewChunk:
		return h.Chunk
	}
	var b strings.Builder
	for _, f := range h.Header {
		b.WriteString(f.Name + ": " + f.Value + "\r\n")
	}
	return b.String() + "\r\n" + h.Body
}

// MsgSize implements postroad.Host.
func (h *Host) MsgSize(view int) int64 { return int64(len(h.message(view))) }

// MsgRead implements postroad.Host.
func (h *Host) MsgRead(view int, off int64, buf []byte) int { return from(h.message(view), off, buf) }

// from copies text from an offset on.
func from(text string, off int64, buf []byte) int {
	if off < 0 || off >= int64(len(text)) {
		return 0
	}
	return copy(buf, text[off:])
}

// BodyWrite implements postroad.Host.
func (h *Host) BodyWrite(p []byte, flags int) int {
	if bytes.IndexByte(p, 0) >= 0 {
		return int(abi.ErrBadArgument)
	}
	if flags&abi.WriteStart != 0 || h.NewBody == nil {
		h.NewBody = []byte{}
	}
	h.NewBody = append(h.NewBody, p...)
	return 0
}

// PartCount implements postroad.Host.
func (h *Host) PartCount() int { return len(h.Parts) }

// PartGet implements postroad.Host.
func (h *Host) PartGet(i, field int, buf []byte) int {
	if i < 0 || i >= len(h.Parts) {
		return int(abi.ErrNotFound)
	}
	v, ok := h.Parts[i][field]
	if !ok {
		return int(abi.ErrNotFound)
	}
	return put(buf, v)
}

// PartRead implements postroad.Host.
func (h *Host) PartRead(i, view int, off int64, buf []byte) int {
	switch {
	case i < 0 || i >= len(h.Contents):
		return int(abi.ErrNotFound)
	case view < abi.PartRaw || view > abi.PartTextUTF8:
		return int(abi.ErrUnsupported)
	}
	return from(h.Contents[i], off, buf)
}

// Secret implements postroad.Host.
func (h *Host) Secret(name string, buf []byte) int {
	v, ok := h.Secrets[name]
	if !ok {
		return int(abi.ErrDenied)
	}
	return put(buf, v)
}

// Random implements postroad.Host.
func (h *Host) Random(buf []byte) int {
	for i := range buf {
		buf[i] = h.Randomness
	}
	return len(buf)
}

// Config implements postroad.Host.
func (h *Host) Config(buf []byte) int {
	if h.JSON == "" {
		return put(buf, "{}")
	}
	return put(buf, h.JSON)
}

// Log implements postroad.Host.
func (h *Host) Log(_ int, text string) { h.Logged = append(h.Logged, text) }

// LogOn implements postroad.Host.
func (h *Host) LogOn(int) bool { return true }

// Now implements postroad.Host.
func (h *Host) Now() int64 { return h.Clock.UnixMilli() }

// decode returns a value with its encoded words decoded, or as it is.
func decode(value string) string {
	d, err := new(mime.WordDecoder).DecodeHeader(value)
	if err != nil {
		return value
	}
	return d
}
