// SPDX-License-Identifier: Apache-2.0

package postroad

import (
	"errors"
	"io"
	"time"

	"github.com/postroad-mail/postroad/sdk/abi"
)

// Numbers of DNS record types that Lookup knows.
const (
	TypeA     = 1
	TypeCNAME = 5
	TypePTR   = 12
	TypeMX    = 15
	TypeTXT   = 16
	TypeAAAA  = 28
)

// Answer is what the DNS says of a name.
type Answer struct {
	Records       []Record
	Authenticated bool // validated with DNSSEC
}

// Record is one record of an Answer.
type Record struct {
	TTL        time.Duration
	Data       string // an address, a name without the last dot, or the octets of a TXT
	Preference int    // of an MX
}

// Lookup returns the records of a type at a name, such as TypeMX. A name that
// does not exist, or has none, gives an Answer without records.
func (h *Hook) Lookup(rrtype int, name string) (Answer, error) {
	b, err := read(h.buf, func(b []byte) int { return h.host.DNS(rrtype, name, b) })
	if errors.Is(err, abi.ErrNotFound) {
		return Answer{}, nil
	}
	if err != nil {
		return Answer{}, err
	}
	h.buf = b[:0]
	return answer(b)
}

func answer(b []byte) (a Answer, err error) {
	err = eachTLV(b, func(tag int, v []byte) error {
		switch tag {
		case abi.DNSRecord:
			r, err := record(v)
			a.Records = append(a.Records, r)
			return err
		case abi.DNSAuthenticated:
			a.Authenticated = true
		}
		return nil
	})
	return a, err
}

func record(b []byte) (r Record, err error) {
	err = eachTLV(b, func(tag int, v []byte) error {
		switch tag {
		case abi.DNSTTL:
			r.TTL = time.Duration(number(v)) * time.Second
		case abi.DNSData:
			r.Data = string(v)
		case abi.DNSPreference:
			r.Preference = int(number(v))
		}
		return nil
	})
	return r, err
}

// Request is an HTTP request to a host that is granted.
type Request struct {
	Method  string // empty: GET
	URL     string
	Header  []string // "Name: value"
	Body    string
	Timeout time.Duration // 0: as long as the hook may take
}

// Response is the answer to a Request, valid until the hook ends.
type Response struct {
	Status int
	Size   int64 // octets of the body
	host   Host
	handle int
}

// answerHead is the length of what http says of an answer: u32 status, u64 size.
const answerHead = 12

// Do sends a request and waits for the answer. Up to three redirects are
// followed, to granted hosts alone; a status such as 500 is no error.
func (h *Hook) Do(r Request) (*Response, error) {
	var head [answerHead]byte
	n := h.host.HTTP(r.tlv(false), head[:])
	if err := check(n); err != nil {
		return nil, err
	}
	return &Response{Status: int(u32(head[:4])), Size: int64(number(head[4:])), host: h.host, handle: n}, nil
}

// Send sends a request when the hook commits. Nobody waits for the answer.
func (h *Hook) Send(r Request) error { return check(h.host.HTTP(r.tlv(true), nil)) }

func (r Request) tlv(atCommit bool) []byte {
	var b []byte
	if r.Method != "" {
		b = appendTLV(b, abi.HTTPMethod, r.Method)
	}
	b = appendTLV(b, abi.HTTPURL, r.URL)
	for _, f := range r.Header {
		b = appendTLV(b, abi.HTTPHeader, f)
	}
	if r.Body != "" {
		b = appendTLV(b, abi.HTTPBody, r.Body)
	}
	if r.Timeout > 0 {
		b = appendTLV(b, abi.HTTPTimeout, appendU32(nil, uint32(r.Timeout.Milliseconds())))
	}
	if atCommit {
		b = appendTLV(b, abi.HTTPAtCommit, "")
	}
	return b
}

// Header returns the first header field of that name; empty when there is none.
func (r *Response) Header(name string) (string, error) {
	b, err := read(nil, func(b []byte) int { return r.host.HTTPHeader(r.handle, name, b) })
	if errors.Is(err, abi.ErrNotFound) {
		return "", nil
	}
	return string(b), err
}

// Body returns a reader of the body.
func (r *Response) Body() io.Reader {
	return &reader{read: func(p []byte, off int64) int { return r.host.HTTPRead(r.handle, off, p) }}
}

// Count adds n to a counter of this stage. Labels are "key=value".
func (h *Hook) Count(name string, n int64, labels ...string) error {
	return h.metric(abi.MetricCounter, name, n, labels)
}

// SetGauge sets a gauge of this stage.
func (h *Hook) SetGauge(name string, n int64, labels ...string) error {
	return h.metric(abi.MetricGauge, name, n, labels)
}

// Observe adds a value to a histogram of this stage.
func (h *Hook) Observe(name string, n int64, labels ...string) error {
	return h.metric(abi.MetricHistogram, name, n, labels)
}

func (h *Hook) metric(kind int, name string, n int64, labels []string) error {
	for _, l := range labels {
		name += ";" + l
	}
	return check(h.host.Metric(kind, name, n))
}
