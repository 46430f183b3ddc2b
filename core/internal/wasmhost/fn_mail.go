// SPDX-License-Identifier: Apache-2.0

package wasmhost

import (
	"encoding/binary"

	"github.com/postroad-mail/postroad/core/internal/pipeline"
	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/sdk/abi"
)

// score(p, n, milli): a named symbol and its score.
func score(i *instance, s []uint64) int64 {
	symbol := i.view(s[0], s[1])
	if len(symbol) > maxNameLen {
		return int64(abi.ErrBadArgument)
	}
	if i.used.scores >= maxScores || !i.spend(len(symbol)) {
		return int64(abi.ErrLimit)
	}
	i.used.scores++
	i.charge(int64(len(i.hook.Envelope().Scores)) * chargePerItem)
	return i.errno("score", i.hook.AddScore(string(symbol), int32(arg(s[2]))))
}

// splitRecipients is split(p, count): move recipients to a child envelope.
func splitRecipients(i *instance, s []uint64) int64 {
	count, known := uint32(s[1]), len(i.hook.Envelope().Recipients)
	if count == 0 || uint64(count) > uint64(known) {
		return int64(abi.ErrBadArgument)
	}
	raw := i.view(s[0], uint64(count)*4)
	if !i.spend(len(raw)) {
		return int64(abi.ErrLimit)
	}
	i.charge(int64(known) * chargePerClone)
	idx := make([]int, count)
	for n := range idx {
		idx[n] = int(int32(binary.LittleEndian.Uint32(raw[4*n:])))
	}
	h, err := i.hook.Split(idx)
	if err != nil {
		return i.errno("split", err)
	}
	return int64(h)
}

const chargePerClone = 200 // a recipient copied to a child envelope

// useEnvelope is use(handle): edit that envelope from now on.
func useEnvelope(i *instance, s []uint64) int64 {
	if !i.spend(0) {
		return int64(abi.ErrLimit)
	}
	return i.errno("use", i.hook.Use(arg(s[0])))
}

// queueSet is queue_set(key, val): an option of the queued message.
func queueSet(i *instance, s []uint64) int64 {
	if !i.spend(0) {
		return int64(abi.ErrLimit)
	}
	return i.errno("queue_set", i.hook.SetQueue(arg(s[0]), int64(s[1])))
}

// labelSet is label_set(key, p, n): tenant or campaign of the message.
func labelSet(i *instance, s []uint64) int64 {
	value := i.view(s[1], s[2])
	if len(value) > maxNameLen {
		return int64(abi.ErrBadArgument)
	}
	if !i.spend(len(value)) {
		return int64(abi.ErrLimit)
	}
	return i.errno("label_set", i.hook.SetLabel(arg(s[0]), string(value)))
}

// ehloSet is ehlo_set(op, p, n): a change of the list that EHLO answers with.
func ehloSet(i *instance, s []uint64) int64 {
	line := i.view(s[1], s[2])
	if len(line) > mail.MaxLine {
		return int64(abi.ErrBadArgument)
	}
	if !i.spend(len(line)) {
		return int64(abi.ErrLimit)
	}
	i.charge(int64(len(i.hook.EHLO())) * chargePerItem)
	return i.errno("ehlo_set", i.hook.SetEHLO(arg(s[0]), string(line)))
}

// emit(p, n): a new message, when the hook commits. The stage's quota is taken
// at once, and looked at only by a dry hook.
func emit(i *instance, s []uint64) int64 {
	raw := i.view(s[0], s[1])
	if !i.spend(len(raw)) {
		return int64(abi.ErrLimit)
	}
	i.charge(int64(len(raw)) * chargePerOctet)
	e, errno := parseEmission(raw)
	switch {
	case errno != 0:
		return int64(errno)
	case e.OfMessage && i.stage.powers&readBody == 0:
		return int64(abi.ErrDenied)
	case !i.mayEmit():
		return int64(abi.ErrLimit)
	}
	return i.errno("emit", i.hook.Emit(e))
}

// mayEmit takes one message from the stage's quota.
func (i *instance) mayEmit() bool {
	q := i.stage.emit
	if q == nil {
		return true
	}
	take := q.Take
	if i.hook.Dry() {
		take = q.Peek
	}
	ok, _ := take(i.stage.name, 1)
	return ok
}

// parseEmission copies a new message out of the guest's memory.
func parseEmission(raw []byte) (pipeline.Emission, abi.Errno) {
	var e pipeline.Emission
	errno := entries(raw, func(tag int, value []byte) abi.Errno {
		switch tag {
		case abi.EmitSender, abi.EmitRecipient:
			return addAddress(&e, tag, value)
		case abi.EmitHeader:
			e.Header = append(e.Header, value...)
		case abi.EmitBody:
			e.Body = append(e.Body, value...)
		case abi.EmitBodyOfMessage:
			e.OfMessage = true
		}
		return 0
	})
	return e, errno
}

func addAddress(e *pipeline.Emission, tag int, value []byte) abi.Errno {
	switch {
	case len(value) > mail.MaxPath+2:
		return abi.ErrBadArgument
	case tag == abi.EmitSender:
		e.Sender = mail.Address(value)
	case len(e.Recipients) >= maxEmitted:
		return abi.ErrLimit
	default:
		e.Recipients = append(e.Recipients, mail.Address(value))
	}
	return 0
}
