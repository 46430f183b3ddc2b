// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"encoding/binary"
	"encoding/hex"
	"math"
	"strings"

	"github.com/postroad-mail/postroad/core/mail"
)

// appendMore appends what version 2 added to an envelope.
func appendMore(b []byte, e *mail.Envelope) []byte {
	for _, s := range [...]string{e.Client.Mechanism, e.Client.PeerCert, e.Params} {
		b = appendString(b, s)
	}
	b = appendTime(b, e.NotBefore)
	b = appendTime(b, e.Expires)
	b = binary.AppendVarint(b, int64(e.Priority))
	b = binary.AppendUvarint(b, uint64(len(e.Scores)))
	for _, s := range e.Scores {
		b = appendString(b, s.Stage)
		b = appendString(b, s.Symbol)
		b = binary.AppendVarint(b, int64(s.Milli))
	}
	b = binary.AppendUvarint(b, uint64(len(e.Stages)))
	for _, m := range e.Stages {
		b = appendCode(appendString(b, m.Stage), m.Code)
	}
	return b
}

// more reads what appendMore wrote.
func (d *decoder) more(e *mail.Envelope) {
	for _, s := range [...]*string{&e.Client.Mechanism, &e.Client.PeerCert, &e.Params} {
		*s = d.string()
	}
	e.NotBefore, e.Expires = d.time(), d.time()
	priority := d.varint()
	if priority < math.MinInt8 || priority > math.MaxInt8 {
		d.fail("priority %d", priority)
	}
	e.Priority = int(priority)
	e.Scores = d.scores()
	e.Stages = d.stages()
}

// scores allocates no more than the octets that are left can fill: a score
// takes three at least, and a stage two.
func (d *decoder) scores() []mail.Score {
	n := d.entries(3)
	if n == 0 {
		return nil
	}
	ss := make([]mail.Score, n)
	for i := range ss {
		ss[i] = mail.Score{Stage: d.string(), Symbol: d.string(), Milli: d.milli()}
	}
	return ss
}

func (d *decoder) stages() []mail.StageMark {
	n := d.entries(2)
	if n == 0 {
		return nil
	}
	ms := make([]mail.StageMark, n)
	for i := range ms {
		ms[i] = mail.StageMark{Stage: d.string(), Code: d.code()}
	}
	return ms
}

// entries reads the length of a list whose entries take some octets at least.
func (d *decoder) entries(least int) int {
	n := d.count(math.MaxInt32)
	if n > len(d.b)/least {
		d.fail("%d entries in %d octets", n, len(d.b))
		return 0
	}
	return n
}

func (d *decoder) milli() int32 {
	v := d.varint()
	if v < math.MinInt32 || v > math.MaxInt32 {
		d.fail("score %d", v)
	}
	return int32(v)
}

// The code of a stage is an octet that says how it is stored, and then the 32
// octets of a digest, or text.
const (
	codeText = iota
	codeSHA256
)

const (
	digestPrefix = "sha256:"
	digestLen    = 32
)

func appendCode(b []byte, code string) []byte {
	digits, ok := strings.CutPrefix(code, digestPrefix)
	if ok && len(digits) == 2*digestLen && strings.ToLower(digits) == digits {
		if out, err := hex.AppendDecode(append(b, codeSHA256), []byte(digits)); err == nil {
			return out
		}
	}
	return appendString(append(b, codeText), code)
}

func (d *decoder) code() string {
	if d.byte() != codeSHA256 {
		return d.string()
	}
	if len(d.b) < digestLen {
		d.fail("too short")
		return ""
	}
	sum := d.b[:digestLen]
	d.b = d.b[digestLen:]
	if d.skim {
		return ""
	}
	return digestPrefix + hex.EncodeToString(sum)
}
