// SPDX-License-Identifier: Apache-2.0

package wasmhost

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/postroad-mail/postroad/core/internal/pipeline"
	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/sdk/abi"
)

// operations are the ops of a command's answer: those host functions that edit.
func operations() map[string]func(*instance, *op) error {
	return map[string]func(*instance, *op) error{
		"hdr_add": opHdrAdd, "hdr_set": opHdrSet, "hdr_del": opHdrDel,
		"rcpt_add": opRcptAdd, "rcpt_set": opRcptSet, "rcpt_del": opRcptDel, "rcpt_verdict": opRcptVerdict,
		"sender_set": opSenderSet, "reply": opReply, "score": opScore, "meta_set": opMetaSet,
		"route_set": opRouteSet, "queue_set": opQueueSet, "split": opSplit, "use": opUse,
		"emit": opEmit, "ehlo_set": opEHLOSet,
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
	_, err := i.hook.AddHeader(pos, p.Name, either(p.Value, p.ValueB64))
	return err
}

func opHdrSet(i *instance, p *op) error {
	id, err := p.field(i)
	if err != nil {
		return err
	}
	return i.hook.SetHeader(id, either(p.Value, p.ValueB64))
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
	at := 0
	if p.Index != nil {
		at = *p.Index
	}
	if at < 0 {
		at += len(ids)
	}
	if at < 0 || at >= len(ids) {
		return 0, fmt.Errorf("field %q: %w", p.Name, abi.ErrNotFound)
	}
	return ids[at], nil
}

// recipient finds the recipient that an op means: by index, or by address.
func (p *op) recipient(i *instance) (int, error) {
	if p.Index != nil {
		return *p.Index, nil
	}
	for idx, r := range i.hook.Envelope().Recipients {
		if p.Rcpt != "" && i.hook.Visible(idx) && strings.EqualFold(string(r.Address), p.Rcpt) {
			return idx, nil
		}
	}
	return 0, fmt.Errorf("recipient %q: %w", p.Rcpt, abi.ErrNotFound)
}

func opRcptAdd(i *instance, p *op) error {
	_, err := i.hook.AddRecipient(mail.Address(either(p.Address, p.AddressB64)))
	return err
}

func opRcptSet(i *instance, p *op) error {
	idx, err := p.recipient(i)
	if err != nil {
		return err
	}
	return i.hook.SetRecipient(idx, mail.Address(either(p.Address, p.AddressB64)))
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
	return i.hook.SetSender(mail.Address(either(p.Address, p.AddressB64)))
}

func opReply(i *instance, p *op) error {
	enh, err := parseEnhanced(p.Enhanced)
	if err != nil {
		return err
	}
	return i.hook.SetReply(p.Code, enh, p.Text)
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
	value := either(p.Value, p.ValueB64)
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
	if p.Index != nil || p.Rcpt != "" {
		if idx, err = p.recipient(i); err != nil {
			return err
		}
	}
	g := &i.stage.grant
	switch {
	case p.Name != "" && !allowsName(g.Routes, p.Name):
		return fmt.Errorf("route %q: %w; it is not among the granted routes", p.Name, abi.ErrDenied)
	case p.NextHop != "" && !g.allowsHop(p.NextHop):
		return fmt.Errorf("next hop %q: %w; it is not among the granted next_hops", p.NextHop, abi.ErrDenied)
	case len(p.Name) > maxNameLen || len(p.NextHop) > maxNameLen:
		return abi.ErrBadArgument
	}
	return i.hook.SetRoute(idx, p.Name, p.NextHop)
}

func opQueueSet(i *instance, p *op) error {
	key, ok := map[string]int{
		"not_before": abi.QueueNotBefore, "expires": abi.QueueExpires, "priority": abi.QueuePriority, "dsn": abi.QueueDSN,
	}[p.Key]
	if !ok {
		return fmt.Errorf("key %q is unknown; known are not_before, expires, priority and dsn", p.Key)
	}
	return i.hook.SetQueue(key, p.Val)
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
