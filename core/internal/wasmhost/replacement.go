// SPDX-License-Identifier: Apache-2.0

package wasmhost

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sort"

	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/sdk/abi"
)

// replacement is a message that a command writes in place of the one at hand.
// Its body goes where rewritten bodies go while it comes in; its header section
// is kept until the end and then held against the message's: fields that did not
// change stay as they are, octet by octet, so that signatures over them stay
// good.
type replacement struct {
	i      *instance
	head   []byte
	looked int  // octets of head without its empty line
	body   bool // the empty line has come
}

// may tells whether the stage may write a message at all.
func (m *replacement) may() error {
	h := m.i.hook
	if h.Phase() != mail.PhaseMessage && h.Phase() != mail.PhasePredeliver {
		return fmt.Errorf("a new message: %w, %v", abi.ErrWrongPhase, h.Phase())
	}
	if m.i.stage.powers&writeBody == 0 {
		return fmt.Errorf("a new message: %w; it needs the grant write body", abi.ErrDenied)
	}
	return nil
}

// write takes the next octets of the message.
func (m *replacement) write(p []byte) error {
	if m.body {
		return m.writeBody(p, false)
	}
	m.head = append(m.head, p...)
	n := headEnd(m.head, m.looked)
	if n < 0 {
		m.looked = max(0, len(m.head)-2)
		return m.checkHead()
	}
	rest := m.head[n:]
	m.head, m.body = m.head[:n:n], true
	if err := m.checkHead(); err != nil {
		return err
	}
	return m.writeBody(rest, true)
}

func (m *replacement) checkHead() error {
	if len(m.head) > maxNewHead {
		return fmt.Errorf("the header section that it wrote is longer than %d octets", maxNewHead)
	}
	return nil
}

func (m *replacement) writeBody(p []byte, start bool) error {
	switch err := m.i.hook.WriteBody(p, start); {
	case errors.Is(err, abi.ErrLimit):
		return fmt.Errorf("the message that it wrote is too large: %w", err)
	case errors.Is(err, abi.ErrBadArgument):
		return errors.New("the message that it wrote has a NUL in its body")
	default:
		return err
	}
}

// headEnd returns the length of the header section in b with its empty line, -1
// if that has not come. Up to from there is none.
func headEnd(b []byte, from int) int {
	for _, empty := range []string{"\n", "\r\n"} {
		if bytes.HasPrefix(b, []byte(empty)) {
			return len(empty)
		}
	}
	for at := from; ; {
		n := bytes.IndexByte(b[at:], '\n')
		if n < 0 {
			return -1
		}
		at += n + 1
		for _, empty := range []string{"\n", "\r\n"} {
			if bytes.HasPrefix(b[at:], []byte(empty)) {
				return at + len(empty)
			}
		}
	}
}

// finish makes the header of the message at hand the one that was written.
func (m *replacement) finish() error {
	if !m.body {
		if err := m.writeBody(nil, true); err != nil {
			return err
		}
	}
	written := mail.ParseHeader(crlf(m.head))
	old, fresh := slices.Clone(m.i.hook.Header().Fields()), written.Fields()
	kept := common(old, fresh)
	if len(kept.from) == len(old) && len(kept.from) == len(fresh) {
		return nil
	}
	if m.i.stage.powers&writeHeaders == 0 {
		return fmt.Errorf("the header section that it wrote is another one: %w; it needs the grant write headers", abi.ErrDenied)
	}
	if err := m.takeOut(old, kept); err != nil {
		return err
	}
	return m.putIn(old, fresh, kept)
}

// takeOut deletes the fields that were not written again. Our own Received field
// stays whatever a command does.
func (m *replacement) takeOut(old []mail.Field, kept pairs) error {
	for n, f := range old {
		if _, ok := kept.old[n]; ok {
			continue
		}
		if !m.i.editsHeader(0) {
			return fmt.Errorf("its header section has too many changes: %w", abi.ErrLimit)
		}
		if err := m.i.hook.DeleteHeader(f.ID); err != nil && !errors.Is(err, abi.ErrDenied) {
			return err
		}
	}
	return nil
}

// putIn adds the fields that are new, each behind the one that it follows.
func (m *replacement) putIn(old, fresh []mail.Field, kept pairs) error {
	pos := int32(abi.PosTop)
	for n, f := range fresh {
		if o, ok := kept.from[n]; ok {
			pos = behind(old[o].ID)
			continue
		}
		if f.Name() == "" {
			return fmt.Errorf("its header section has a line that is no field: %q", excerpt(f.Raw))
		}
		if !m.i.editsHeader(len(f.Raw)) {
			return fmt.Errorf("its header section has too many changes: %w", abi.ErrLimit)
		}
		id, err := m.i.hook.AddHeader(pos, f.Name(), f.Value())
		if err != nil {
			return fmt.Errorf("header field %s: %w", f.Name(), err)
		}
		pos = behind(id)
	}
	return nil
}

func behind(id int) int32 { return int32(2 + 2*id) }

func excerpt(b []byte) []byte { return bytes.TrimRight(b[:min(len(b), 60)], "\r\n") }

// crlf makes every line end CRLF.
func crlf(b []byte) []byte {
	b = bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n"))
	return bytes.ReplaceAll(b, []byte("\n"), []byte("\r\n"))
}

// pairs are the fields that two headers have in common, in the same order in
// both: from maps an index in the new one to that in the old one, old is the set
// of the latter.
type pairs struct {
	from map[int]int
	old  map[int]struct{}
}

// common pairs the n-th field of some octets in the one header with the n-th of
// the same octets in the other, and keeps of these pairs as many as stand in the
// same order: the longest increasing subsequence (patience sorting), in
// n·log n steps.
func common(old, fresh []mail.Field) pairs {
	places := make(map[string][]int)
	for n, f := range old {
		k := string(crlf(f.Raw))
		places[k] = append(places[k], n)
	}
	var tails []int            // index in fresh where the best sequence of each length ends
	mate := make(map[int]int)  // index in fresh to index in old
	prior := make(map[int]int) // index in fresh to that before it in its sequence
	for n, f := range fresh {
		k := string(f.Raw)
		if len(places[k]) == 0 {
			continue
		}
		mate[n], places[k] = places[k][0], places[k][1:]
		at := sort.Search(len(tails), func(t int) bool { return mate[tails[t]] >= mate[n] })
		if at > 0 {
			prior[n] = tails[at-1]
		}
		if at == len(tails) {
			tails = append(tails, n)
		}
		tails[at] = n
	}
	p := pairs{from: make(map[int]int), old: make(map[int]struct{})}
	if len(tails) == 0 {
		return p
	}
	n := tails[len(tails)-1]
	for range tails {
		p.from[n] = mate[n]
		p.old[mate[n]] = struct{}{}
		n = prior[n]
	}
	return p
}

// filterOutput is the standard output of a command in mode "filter".
type filterOutput struct {
	m   replacement
	any bool
}

func (o *filterOutput) write(p []byte) error {
	o.any = o.any || len(p) > 0
	return o.m.write(p)
}

func (o *filterOutput) end() (mail.Verdict, error) {
	if !o.any {
		return 0, errors.New("it wrote nothing, and a filter writes the message; to refuse one, exit with 77 or 75")
	}
	return mail.Continue, o.m.finish()
}
