// SPDX-License-Identifier: Apache-2.0

package kit

import (
	_ "embed"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/postroad-mail/postroad/sdk/abi"
)

//go:embed cases.txt
var table string

// World is what cases.txt says of the world that its calls are made in. A Host
// reads it there; it is exported for those who show it.
func World() string {
	head, _, _ := strings.Cut(table, "\n== ")
	return head
}

// parse reads the table. A mistake in it is one of the kit's, and panics with
// its line.
func parse(text string) []*Case {
	var cases []*Case
	var c *Case
	for n, line := range strings.Split(text, "\n") {
		p := parser{line: n + 1}
		switch name, ok := strings.CutPrefix(line, "== "); {
		case ok:
			c = p.head(name)
			cases = append(cases, c)
		case strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#"):
		default:
			p.row(c, line)
		}
	}
	return cases
}

type parser struct{ line int }

func (p *parser) wrong(format string, args ...any) {
	panic(fmt.Sprintf("cases.txt:%d: ", p.line) + fmt.Sprintf(format, args...))
}

func (p *parser) head(name string) *Case {
	w := strings.SplitN(name, " ", 3)
	if len(w) < 2 {
		p.wrong("a case has a function and a class")
	}
	return &Case{Function: w[0], Class: w[1], Note: strings.Join(w[2:], "")}
}

// row reads a line of a case.
func (p *parser) row(c *Case, line string) {
	word, rest, _ := strings.Cut(line, " ")
	switch word {
	case "n/a":
		c.NotApplicable = rest
	case "without":
		c.Without = append(c.Without, rest)
	case "fails":
		c.Failing = append(c.Failing, p.phase(rest))
	case "state":
		c.State = append(c.State, p.state(rest))
	default:
		c.Steps = append(c.Steps, p.step(word, rest))
	}
}

// state reads `key = "value"`, or `key absent`.
func (p *parser) state(text string) StateWant {
	if key, ok := strings.CutSuffix(text, " absent"); ok {
		return StateWant{Key: key, Absent: true}
	}
	key, quoted, ok := strings.Cut(text, " = ")
	value, err := strconv.Unquote(quoted)
	if !ok || err != nil {
		p.wrong("state is key = \"value\": %s", text)
	}
	return StateWant{Key: key, Value: value}
}

func (p *parser) phase(name string) int {
	if name == "init" {
		return phaseInit
	}
	for _, ph := range abi.Phases() {
		if ph.Name == name {
			return ph.Number
		}
	}
	p.wrong("no phase %q", name)
	return 0
}

// step reads `phase [xN] function arguments -> result memory`.
func (p *parser) step(phase, rest string) Step {
	call, want, ok := strings.Cut(rest, " -> ")
	if !ok {
		p.wrong("a step says what must come of it, behind ->")
	}
	ws := p.words(call)
	s := Step{Phase: p.phase(phase)}
	if n, err := strconv.Atoi(strings.TrimPrefix(ws[0], "x")); err == nil {
		s.Repeat, ws = n, ws[1:]
	}
	s.Function = ws[0]
	if s.number() < 0 {
		p.wrong("no function %q", s.Function)
	}
	for _, w := range ws[1:] {
		s.Args = append(s.Args, p.arg(w)...)
	}
	p.count(&s)
	s.Want = p.want(want)
	return s
}

// count checks that a function gets as many arguments as it has.
func (p *parser) count(s *Step) {
	for _, f := range served() {
		if f.Name == s.Function && len(f.Params) != len(s.Args) {
			p.wrong("%s has %d arguments, not %d", f.Name, len(f.Params), len(s.Args))
		}
	}
}

// words splits at spaces that are not inside of quotes or brackets.
func (p *parser) words(text string) []string {
	var ws []string
	start, depth, quoted := 0, 0, false
	for i := 0; i <= len(text); i++ {
		switch {
		case i == len(text) || text[i] == ' ' && depth == 0 && !quoted:
			if i > start {
				ws = append(ws, text[start:i])
			}
			start = i + 1
		case text[i] == '"' && (i == 0 || text[i-1] != '\\'):
			quoted = !quoted
		case !quoted && strings.ContainsRune("{(", rune(text[i])):
			depth++
		case !quoted && strings.ContainsRune("})", rune(text[i])):
			depth--
		}
	}
	if depth != 0 || quoted || len(ws) == 0 {
		p.wrong("brackets or quotes do not match: %s", text)
	}
	return ws
}

// arg reads one word of a call, which stands for one argument or two.
func (p *parser) arg(w string) []Arg {
	inner, kind := p.bracket(w)
	switch {
	case kind == "mem":
		return []Arg{{Value: zerosAt}, {Value: p.int(inner)}}
	case kind == "u32s":
		return p.indexes(inner)
	case strings.HasPrefix(w, "$"):
		return []Arg{{Kind: argStep, Step: int(p.int(w[1:]))}}
	case w == "out":
		return []Arg{{Kind: argBuffer, Value: 8}}
	case strings.HasPrefix(w, "@"):
		n := p.int(w[1:])
		return []Arg{{Kind: argBuffer, Value: n}, {Value: n}}
	case strings.HasPrefix(w, "field."):
		return []Arg{{Value: p.field(w[len("field."):])}}
	case w[0] == '"', w[0] == '{', kind != "":
		b := p.octets(w)
		return []Arg{{Kind: argData, Data: b}, {Value: int64(len(b))}}
	}
	return []Arg{{Value: p.int(w)}}
}

// bracket splits "kind(inner)".
func (p *parser) bracket(w string) (inner, kind string) {
	kind, inner, ok := strings.Cut(strings.TrimSuffix(w, ")"), "(")
	if !ok || w[0] == '"' || w[0] == '{' {
		return "", ""
	}
	return inner, kind
}

func (p *parser) int(w string) int64 {
	n, err := strconv.ParseInt(w, 0, 64)
	if err != nil {
		p.wrong("no number: %q", w)
	}
	return n
}

func (p *parser) indexes(inner string) []Arg {
	var b []byte
	for _, w := range strings.Fields(inner) {
		b = binary.LittleEndian.AppendUint32(b, uint32(p.int(w)))
	}
	return []Arg{{Kind: argData, Data: b}, {Value: int64(len(b) / 4)}}
}

func (p *parser) field(name string) int64 {
	for _, f := range abi.Fields() {
		if f.Name == name {
			return int64(f.Number)
		}
	}
	p.wrong("no field %q", name)
	return 0
}

// octets reads "text", x(00ff), u16(n), u32(n), u64(n), long(n) for n letters, or
// a TLV {tag:octets …}.
func (p *parser) octets(w string) []byte {
	le := binary.LittleEndian
	inner, kind := p.bracket(w)
	switch {
	case w[0] == '"':
		s, err := strconv.Unquote(w)
		if err != nil {
			p.wrong("no text: %s", w)
		}
		return []byte(s)
	case w[0] == '{':
		return p.tlv(strings.TrimSuffix(w[1:], "}"))
	case kind == "x":
		b, err := hex.DecodeString(inner)
		if err != nil {
			p.wrong("no hexadecimal digits: %s", w)
		}
		return b
	case kind == "u16":
		return le.AppendUint16(nil, uint16(p.int(inner)))
	case kind == "u32":
		return le.AppendUint32(nil, uint32(p.int(inner)))
	case kind == "u64":
		return le.AppendUint64(nil, uint64(p.int(inner)))
	case kind == "long":
		return []byte(strings.Repeat("x", int(p.int(inner))))
	}
	p.wrong("no octets: %s", w)
	return nil
}

func (p *parser) tlv(inner string) []byte {
	var b []byte
	if inner == "" {
		return []byte{}
	}
	for _, w := range p.words(inner) {
		tag, value, _ := strings.Cut(w, ":")
		v := p.octets(value)
		b = binary.LittleEndian.AppendUint16(b, uint16(p.int(tag)))
		b = binary.LittleEndian.AppendUint32(b, uint32(len(v)))
		b = append(b, v...)
	}
	return b
}

// want reads what stands behind the arrow.
func (p *parser) want(text string) Want {
	ws := p.words(text)
	w := p.result(ws[0])
	switch {
	case len(ws) == 1:
	case ws[1] == "untouched":
		w.Memory = []byte{}
	default:
		w.Memory = p.octets(ws[1])
	}
	return w
}

func (p *parser) result(word string) Want {
	for e := abi.ErrConflict; e <= abi.ErrNotFound; e++ {
		if strings.ReplaceAll(e.Error(), " ", "_") == word || errorWords[word] == e {
			return Want{Result: int64(e)}
		}
	}
	switch n, least := strings.CutSuffix(word, "+"); {
	case word == "trap":
		return Want{Trap: true}
	case word == "any":
		return Want{Any: true}
	case word == "ok":
		return Want{}
	case word == "absent":
		return Want{Result: abi.Absent}
	default:
		return Want{Result: p.int(n), Least: least}
	}
}

// errorWords are the errors whose words in abi.json are not their names.
var errorWords = map[string]abi.Errno{
	"limit": abi.ErrLimit, "timeout": abi.ErrTimeout, "io": abi.ErrIO, "unsupported": abi.ErrUnsupported,
}
