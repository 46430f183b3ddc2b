// SPDX-License-Identifier: Apache-2.0

package wasmhost

import (
	"context"
	"encoding/binary"
	"errors"
	"net/textproto"
	"os"
	"time"

	"github.com/postroad-mail/postroad/sdk/abi"
)

// The functions that wait for somebody else. What a guest hands in is copied out
// of its memory first, each call is charged before it is made, and none lasts
// longer than the hook may: its ctx ends at the hook's deadline.

// What they charge, in units of fuel.
const (
	chargePerLookup  = 100_000
	chargePerRequest = 500_000
)

// slow returns the context of a call that may wait.
func (i *instance) slow() (context.Context, context.CancelFunc) {
	return context.WithDeadline(context.Background(), i.watch.deadline())
}

// served turns the error of a service into a number. It is not a fault of ours
// when somebody else's server has one.
func (i *instance) served(function string, err error) int64 {
	i.stage.logger.Debug("host function got no answer", "id", i.out.id, "function", function, "error", err)
	var e abi.Errno
	switch {
	case errors.As(err, &e):
		return int64(e)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled), errors.Is(err, os.ErrDeadlineExceeded):
		return int64(abi.ErrTimeout)
	}
	return int64(abi.ErrIO)
}

// dnsLookup is dns(rrtype, np, nn, b, c): the records of a name. A dry hook may
// ask too: an answer changes nothing.
func dnsLookup(i *instance, s []uint64) int64 {
	name, rrtype := i.view(s[1], s[2]), uint32(s[0])
	i.view(s[3], s[4])
	switch {
	case i.stage.dns == nil || rrtype > 0xffff:
		return int64(abi.ErrUnsupported)
	case len(name) == 0 || len(name) > maxKey:
		return int64(abi.ErrBadArgument)
	case i.used.lookups >= maxLookups:
		return int64(abi.ErrLimit)
	}
	i.used.lookups++
	i.charge(chargePerLookup)
	ctx, cancel := i.slow()
	defer cancel()
	a, err := i.stage.dns.Lookup(ctx, string(name), uint16(rrtype))
	if err != nil {
		return i.served("dns", err)
	}
	return i.putAnswer(s[3], s[4], rrtype, &a)
}

// putAnswer writes an answer as TLV.
func (i *instance) putAnswer(b, c uint64, rrtype uint32, a *Answer) int64 {
	out := i.scratch[:0]
	if a.Authenticated {
		out = appendTLV(out, abi.DNSAuthenticated, nil)
	}
	for n := range a.Records {
		if out = appendTLV(out, abi.DNSRecord, a.Records[n].tlv(rrtype == typeMX)); len(out) > maxAnswer {
			return int64(abi.ErrLimit)
		}
	}
	i.scratch = out
	i.charge(int64(len(out)))
	return i.put(b, c, out)
}

const typeMX = 15 // RFC 1035 §3.2.2

func (r *Record) tlv(mx bool) []byte {
	b := appendTLV(nil, abi.DNSTTL, binary.LittleEndian.AppendUint32(nil, uint32(min(max(0, r.TTL), maxTTL)/time.Second)))
	b = appendTLV(b, abi.DNSData, r.Data)
	if mx {
		b = appendTLV(b, abi.DNSPreference, binary.LittleEndian.AppendUint16(nil, r.Preference))
	}
	return b
}

// answerHead is what http writes at b: the status and the size of the body.
const answerHead = 4 + 8

// httpRequest is http(p, n, b, c): one request, now or at the commit.
func httpRequest(i *instance, s []uint64) int64 {
	r, e := i.parseRequest(i.view(s[0], s[1]))
	i.view(s[2], s[3])
	switch {
	case i.stage.http == nil:
		return int64(abi.ErrUnsupported)
	case e != 0:
		return int64(e)
	case i.used.requests >= maxRequests || !i.spend(len(r.Body)):
		return int64(abi.ErrLimit)
	}
	i.used.requests++
	i.charge(chargePerRequest + int64(len(r.Body)))
	if r.atCommit {
		return i.queueRequest(&r)
	}
	if i.hook.Dry() {
		return int64(abi.ErrUnsupported)
	}
	if uint32(s[3]) < answerHead {
		return int64(abi.ErrBadArgument)
	}
	return i.request(&r, s[2], s[3])
}

// request makes a request and keeps the answer for the rest of the hook.
func (i *instance) request(r *guestRequest, b, c uint64) int64 {
	ctx, cancel := i.slow()
	defer cancel()
	if r.timeout > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, r.timeout)
		defer stop()
	}
	r.MaxBody = min(maxAnswerBody, int64(maxAnswerBodies-i.used.answerOctets))
	if r.MaxBody <= 0 {
		return int64(abi.ErrLimit)
	}
	resp, err := i.stage.http.Do(ctx, r.HTTPRequest)
	if err == nil && int64(len(resp.Body)) > r.MaxBody {
		err = abi.ErrLimit
	}
	if err != nil {
		return i.served("http", err)
	}
	i.used.answerOctets += len(resp.Body)
	i.charge(int64(len(resp.Body)))
	i.used.answers = append(i.used.answers, resp)
	head := binary.LittleEndian.AppendUint32(i.scratch[:0], uint32(resp.Status))
	i.scratch = binary.LittleEndian.AppendUint64(head, uint64(len(resp.Body)))
	i.put(b, c, i.scratch)
	return int64(len(i.used.answers) - 1)
}

// queueRequest keeps a request for the commit. In a dry hook it is checked and
// forgotten.
func (i *instance) queueRequest(r *guestRequest) int64 {
	q, ok := i.stage.http.(HTTPQueue)
	if !ok {
		return int64(abi.ErrUnsupported)
	}
	if err := q.Check(r.HTTPRequest); err != nil {
		return i.served("http", err)
	}
	i.used.sends = append(i.used.sends, r.HTTPRequest)
	return 0
}

// sendLater hands the queued requests over when the hook commits.
func (i *instance) sendLater() {
	sends := i.used.sends
	if len(sends) == 0 || i.hook.Dry() {
		return
	}
	q := i.stage.http.(HTTPQueue)
	i.hook.OnCommit(func() error {
		for _, r := range sends {
			q.Queue(r)
		}
		return nil
	})
}

// guestRequest is the TLV of a request.
type guestRequest struct {
	HTTPRequest
	timeout  time.Duration
	atCommit bool
}

// newRequest returns a request that has the stage's grant.
func (i *instance) newRequest() guestRequest {
	return guestRequest{HTTPRequest: HTTPRequest{Stage: i.stage.name, Allow: i.stage.grant.HTTP, Wants: i.stage.wantedHosts}}
}

// parseRequest copies a request out of the guest's memory.
func (i *instance) parseRequest(b []byte) (guestRequest, abi.Errno) {
	r := i.newRequest()
	e := entries(b, r.entry)
	if e == 0 && r.URL == "" {
		e = abi.ErrBadArgument
	}
	return r, e
}

func (r *guestRequest) entry(tag int, value []byte) abi.Errno {
	switch tag {
	case abi.HTTPMethod:
		r.Method = string(value[:min(len(value), maxNameLen)])
	case abi.HTTPURL:
		r.URL = string(value[:min(len(value), maxURL+1)])
	case abi.HTTPHeader:
		if len(r.Header) >= maxRequestFields || len(value) > maxRequestHeader {
			return abi.ErrLimit
		}
		r.Header = append(r.Header, string(value))
	case abi.HTTPBody:
		if len(value) > maxRequestBody {
			return abi.ErrLimit
		}
		r.Body = clone(value)
	case abi.HTTPTimeout:
		if len(value) != 4 {
			return abi.ErrBadArgument
		}
		r.timeout = time.Duration(binary.LittleEndian.Uint32(value)) * time.Millisecond
	case abi.HTTPAtCommit:
		r.atCommit = true
	}
	return 0
}

// answer returns the answer with a handle.
func (i *instance) answer(h uint64) *HTTPResponse {
	if n := uint32(h); uint64(n) < uint64(len(i.used.answers)) {
		return i.used.answers[n]
	}
	return nil
}

// httpRead is http_read(h, off, b, c): octets of an answer's body.
func httpRead(i *instance, s []uint64) int64 {
	buf := i.view(s[2], s[3])
	a, off := i.answer(s[0]), int64(s[1])
	switch {
	case a == nil || off < 0:
		return int64(abi.ErrBadArgument)
	case off >= int64(len(a.Body)):
		return 0
	}
	n := copy(buf, a.Body[off:])
	i.charge(int64(n) / octetsPerUnit)
	return int64(n)
}

// httpHeader is http_header(h, np, nn, b, c): the first header field of a name.
func httpHeader(i *instance, s []uint64) int64 {
	name := i.view(s[1], s[2])
	a := i.answer(s[0])
	if a == nil || len(name) == 0 || len(name) > maxNameLen {
		return int64(abi.ErrBadArgument)
	}
	i.charge(int64(len(a.Header)) * chargePerItem)
	values := a.Header[textproto.CanonicalMIMEHeaderKey(string(name))]
	if len(values) == 0 {
		return int64(abi.ErrNotFound)
	}
	return i.putString(s[3], s[4], values[0])
}
