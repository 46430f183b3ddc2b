// SPDX-License-Identifier: Apache-2.0

package wasmhost

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/postroad-mail/postroad/core/internal/grant"
	"github.com/postroad-mail/postroad/core/internal/pipeline"
	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/sdk/abi"
)

// operations are the ops of a command's answer: those host functions that
// leave something behind.
func operations() map[string]func(*instance, *op) error {
	return map[string]func(*instance, *op) error{
		"hdr_add": opHdrAdd, "hdr_set": opHdrSet, "hdr_del": opHdrDel,
		"rcpt_add": opRcptAdd, "rcpt_set": opRcptSet, "rcpt_del": opRcptDel, "rcpt_verdict": opRcptVerdict,
		"sender_set": opSenderSet, "score": opScore, "meta_set": opMetaSet,
		"route_set": opRouteSet, "queue_set": opQueueSet, "label_set": opLabelSet, "split": opSplit, "use": opUse,
		"emit": opEmit, "ehlo_set": opEHLOSet,
		"kv_put": opKVPut, "kv_del": opKVDel, "kv_add": opKVAdd, "kv_cas": opKVCAS,
		"http": opHTTP, "metric": opMetric,
	}
}

func opHdrAdd(i *instance, p *op) error {
	if !i.editsHeader(0) {
		return abi.ErrLimit
	}
	pos := int32(abi.PosEnd)
	if p.Pos != nil {
		pos = *p.Pos
	}
	value, err := p.text()
	if err == nil {
		_, err = i.hook.AddHeader(pos, p.Name, value)
	}
	return err
}

func opHdrSet(i *instance, p *op) error {
	id, err := p.field(i)
	if err != nil {
		return err
	}
	value, err := p.text()
	if err != nil {
		return err
	}
	return i.hook.SetHeader(id, value)
}

func opHdrDel(i *instance, p *op) error {
	id, err := p.field(i)
	if err != nil {
		return err
	}
	return i.hook.DeleteHeader(id)
}

// field finds the header field that an op means: by its id, or the index-th of a
// name, from the last one when index is negative.
func (p *op) field(i *instance) (int, error) {
	if !i.editsHeader(0) {
		return 0, abi.ErrLimit
	}
	if p.ID != nil {
		return *p.ID, nil
	}
	var ids []int
	for _, f := range i.hook.Header().Fields() {
		if f.Is(p.Name) {
			ids = append(ids, f.ID)
		}
	}
	at := p.Index
	if at < 0 {
		at += len(ids)
	}
	if at < 0 || at >= len(ids) {
		return 0, fmt.Errorf("field %q: %w", p.Name, abi.ErrNotFound)
	}
	return ids[at], nil
}

// recipient finds the recipient that an op means: by its index, or by address.
func (p *op) recipient(i *instance) (int, error) {
	if p.Idx != nil {
		return *p.Idx, nil
	}
	rcpt := either(p.Rcpt, p.RcptB64)
	for idx, r := range i.hook.Envelope().Recipients {
		if rcpt != "" && i.hook.Visible(idx) && strings.EqualFold(string(r.Address), rcpt) {
			return idx, nil
		}
	}
	return 0, fmt.Errorf("recipient %q: %w", rcpt, abi.ErrNotFound)
}

func opRcptAdd(i *instance, p *op) error {
	_, err := i.hook.AddRecipient(mail.Address(either(p.Rcpt, p.RcptB64)))
	return err
}

func opRcptSet(i *instance, p *op) error {
	idx, err := p.recipient(i)
	if err != nil {
		return err
	}
	return i.hook.SetRecipient(idx, mail.Address(either(p.To, p.ToB64)))
}

func opRcptDel(i *instance, p *op) error {
	idx, err := p.recipient(i)
	if err != nil {
		return err
	}
	return i.hook.RemoveRecipient(idx)
}

func opRcptVerdict(i *instance, p *op) error {
	idx, err := p.recipient(i)
	if err != nil {
		return err
	}
	v, err := verdictByName(p.Verdict)
	if err != nil {
		return err
	}
	var r *mail.Reply
	if p.Code != 0 {
		enh, err := parseEnhanced(p.Enhanced)
		if err != nil {
			return err
		}
		r = mail.NewReply(p.Code, enh, p.Text)
	}
	return i.hook.SetRecipientVerdict(idx, v, r)
}

func opSenderSet(i *instance, p *op) error {
	return i.hook.SetSender(mail.Address(either(p.Sender, p.SenderB64)))
}

// parseEnhanced reads an enhanced status code (RFC 3463); "" is none.
func parseEnhanced(s string) (mail.Enhanced, error) {
	var e mail.Enhanced
	if s == "" {
		return e, nil
	}
	parts := strings.Split(s, ".")
	for n, part := range parts {
		v, err := strconv.ParseUint(part, 10, 10)
		if err != nil || len(parts) != len(e) {
			return e, fmt.Errorf("enhanced %q is no status such as \"5.7.1\"", s)
		}
		e[n] = int(v)
	}
	return e, nil
}

func opScore(i *instance, p *op) error { return i.hook.AddScore(p.Symbol, p.Milli) }

func opMetaSet(i *instance, p *op) error {
	value, err := p.text()
	if err != nil {
		return err
	}
	if len(p.Key) > maxKey || len(value) > maxValue {
		return abi.ErrLimit
	}
	switch p.Scope {
	case "", "message":
		return i.hook.SetMeta(pipeline.ScopeMessage, p.Key, value)
	case "session":
		return i.hook.SetMeta(pipeline.ScopeSession, p.Key, value)
	}
	return fmt.Errorf("scope %q is unknown; known are message and session", p.Scope)
}

func opRouteSet(i *instance, p *op) error {
	idx, err := -1, error(nil)
	if p.Idx != nil || either(p.Rcpt, p.RcptB64) != "" {
		if idx, err = p.recipient(i); err != nil {
			return err
		}
	}
	g := &i.stage.grant
	switch {
	case len(p.Route) > maxNameLen || len(p.NextHop) > maxNameLen:
		return abi.ErrBadArgument
	case p.Route != "" && !grant.Allows(g.Routes, p.Route):
		return fmt.Errorf("route %q: %w; it is not among the granted routes", p.Route, abi.ErrDenied)
	case p.NextHop != "" && p.Route == "":
		return i.setHop(idx, p.NextHop)
	}
	return i.hook.SetRoute(idx, p.Route, p.NextHop)
}

func opQueueSet(i *instance, p *op) error {
	key, ok := map[string]int{
		"not_before": abi.QueueNotBefore, "expires": abi.QueueExpires, "priority": abi.QueuePriority, "dsn": abi.QueueDSN,
	}[p.Key]
	if !ok {
		return fmt.Errorf("key %q is unknown; known are not_before, expires, priority and dsn", p.Key)
	}
	n, err := p.number()
	if err != nil {
		return err
	}
	return i.hook.SetQueue(key, n)
}

func opLabelSet(i *instance, p *op) error {
	key, ok := map[string]int{"tenant": abi.LabelTenant, "campaign": abi.LabelCampaign}[p.Key]
	if !ok {
		return fmt.Errorf("key %q is unknown; known are tenant and campaign", p.Key)
	}
	value, err := p.text()
	if err != nil {
		return err
	}
	return i.hook.SetLabel(key, value)
}

func opSplit(i *instance, p *op) error {
	_, err := i.hook.Split(p.Rcpts)
	return err
}

func opUse(i *instance, p *op) error { return i.hook.Use(p.Handle) }

func opEmit(i *instance, p *op) error {
	switch {
	case p.OfMessage && i.stage.powers&readBody == 0:
		return fmt.Errorf("body_of_message: %w; it needs the grant read body", abi.ErrDenied)
	case !i.mayEmit():
		return fmt.Errorf("%w, of the messages that the stage may emit", abi.ErrLimit)
	}
	return i.hook.Emit(pipeline.Emission{
		Sender: mail.Address(either(p.Sender, p.SenderB64)), Recipients: p.Recipients, OfMessage: p.OfMessage,
		Header: []byte(either(p.Header, p.HeaderB64)), Body: []byte(either(p.Body, p.BodyB64)),
	})
}

func opEHLOSet(i *instance, p *op) error {
	switch p.Action {
	case "add":
		return i.hook.SetEHLO(abi.EHLOAdd, p.Line)
	case "remove":
		return i.hook.SetEHLO(abi.EHLORemove, p.Line)
	}
	return fmt.Errorf("action %q is unknown; known are add and remove", p.Action)
}

// refusal makes an error of what a host function answers.
func refusal(n int64) error {
	if n < 0 {
		return abi.Errno(n)
	}
	return nil
}

// keyed finds the store and the key that an op means.
func (p *op) keyed(i *instance) (store int, key []byte, err error) {
	h := i.openStore(p.Store)
	if h < 0 {
		return 0, nil, fmt.Errorf("store %q: %w", p.Store, abi.Errno(h))
	}
	key = []byte(either(p.Key, p.KeyB64))
	if e := i.checkKey(int(h), key); e != 0 {
		return 0, nil, e
	}
	return int(h), key, nil
}

func opKVPut(i *instance, p *op) error {
	store, key, err := p.keyed(i)
	if err != nil {
		return err
	}
	value, err := p.text()
	if err != nil {
		return err
	}
	flags := 0
	if p.Absent {
		flags = abi.KVIfAbsent
	}
	return refusal(i.putKey(store, key, []byte(value), uint64(p.TTL), flags))
}

func opKVDel(i *instance, p *op) error {
	store, key, err := p.keyed(i)
	if err != nil {
		return err
	}
	return refusal(i.buffer(write{store: store, StoreWrite: StoreWrite{Kind: StoreRemove}}, key, nil, nil))
}

func opKVAdd(i *instance, p *op) error {
	store, key, err := p.keyed(i)
	if err != nil {
		return err
	}
	_, n := i.addKey(store, key, p.Delta, uint64(p.TTL))
	return refusal(n)
}

func opKVCAS(i *instance, p *op) error {
	store, key, err := p.keyed(i)
	if err != nil {
		return err
	}
	value, err := p.text()
	if err != nil {
		return err
	}
	return refusal(i.swapKey(store, key, []byte(either(p.Old, p.OldB64)), []byte(value), uint64(p.TTL)))
}

func opHTTP(i *instance, p *op) error {
	r := i.newRequest()
	r.Method, r.URL, r.Header, r.Body = p.Method, p.URL, p.Headers, []byte(either(p.Body, p.BodyB64))
	switch {
	case i.stage.http == nil:
		return abi.ErrUnsupported
	case r.URL == "" || len(r.URL) > maxURL || len(r.Method) > maxNameLen:
		return abi.ErrBadArgument
	case i.used.requests >= maxRequests || !i.spend(len(r.Body)) || len(r.Header) > maxRequestFields || len(r.Body) > maxRequestBody:
		return abi.ErrLimit
	}
	i.used.requests++
	return refusal(i.queueRequest(&r))
}

func opMetric(i *instance, p *op) error {
	kind, ok := map[string]int{"counter": abi.MetricCounter, "gauge": abi.MetricGauge, "histogram": abi.MetricHistogram}[p.Kind]
	if !ok {
		return fmt.Errorf("kind %q is unknown; known are counter, gauge and histogram", p.Kind)
	}
	n, err := p.number()
	if err != nil {
		return err
	}
	return refusal(i.measure(kind, p.Name, n))
}
