// SPDX-License-Identifier: Apache-2.0

package recode

import (
	"fmt"
	"slices"
	"strings"

	"github.com/postroad-mail/postroad/core/mail"
)

// planner decides what becomes of each part, in the order in which they stand.
type planner struct {
	eightBit bool // octets above 127 may stay
	body     mail.Body
	header   []byte // of the message
	segments []segment
	pos      int64 // up to here the body is in segments
}

// message plans the whole of it.
func (w *planner) message(root *part) error {
	if err := w.part(root); err != nil {
		return err
	}
	if !w.changes(root) {
		w.header = root.header.AppendTo(nil)
		return nil
	}
	h := root.header.Clone()
	if err := complete(&h, root); err != nil {
		return err
	}
	return w.relabel(&h, root, func(b []byte) { w.header = b })
}

// complete gives the header of a message that is no MIME what a body in an encoding
// needs (RFC 1428): nobody knows in which charset it is.
func complete(h *mail.Header, root *part) error {
	if h.Count("MIME-Version") > 0 {
		return nil
	}
	if _, err := h.Append("MIME-Version", "1.0"); err != nil {
		return err
	}
	if h.Count("Content-Type") > 0 {
		return nil
	}
	root.media = "text/plain"
	_, err := h.Append("Content-Type", "text/plain; charset=unknown-8bit")
	return err
}

// part plans one part and what is in it.
func (w *planner) part(p *part) error {
	switch f := &p.headFound; {
	case f.eight && !w.eightBit:
		return fmt.Errorf("the header of a part is not ASCII: %w", ErrCannot)
	case f.bare || f.cr:
		return fmt.Errorf("the header of a part has bare line ends: %w", ErrCannot)
	}
	if p.head >= 0 && w.changes(p) {
		h := p.header.Clone()
		w.keep(p.head)
		if err := w.relabel(&h, p, func(b []byte) { w.literal(b, p.start) }); err != nil {
			return err
		}
	}
	if p.kind == leaf {
		return w.leaf(p)
	}
	if strings.EqualFold(p.media, "multipart/signed") && slices.ContainsFunc(p.children, w.changes) {
		return fmt.Errorf("its parts are signed: %w", ErrCannot)
	}
	if p.first >= 0 {
		w.between(p, p.start, p.first)
	}
	for _, c := range p.children {
		if err := w.part(c); err != nil {
			return err
		}
	}
	switch {
	case p.kind == multi && p.first < 0:
		w.between(p, p.start, p.end)
	case p.last >= 0:
		w.between(p, p.last, p.end)
	}
	return nil
}

// between makes what stands around the parts of a multipart harmless: nobody reads
// it (RFC 2046 §5.1.1), so it has no encoding.
func (w *planner) between(p *part, from, to int64) {
	if w.wild(p) && from < to {
		w.keep(from)
		w.add(segment{kind: masked, from: from, to: to})
		w.pos = to
	}
}

// wild reports whether there are octets in p, or around its parts, that the host
// cannot have.
func (w *planner) wild(p *part) bool {
	return p.found.bare || p.found.cr || p.found.eight && !w.eightBit
}

// leaf plans a body that has no parts.
func (w *planner) leaf(p *part) error {
	if !w.encodes(p) {
		if w.wild(p) {
			return fmt.Errorf("a part in %s has octets that are none of it: %w", p.encoding, ErrCannot)
		}
		return nil
	}
	if strings.HasPrefix(p.media, "multipart/") || strings.HasPrefix(p.media, "message/") && p.media != "message/global" {
		return fmt.Errorf("a part of type %s may be in no encoding: %w", p.media, ErrCannot)
	}
	w.keep(p.start)
	w.add(segment{kind: w.encoder(p), from: p.start, to: p.end})
	w.pos = p.end
	return nil
}

// encodes reports whether the body of a leaf needs an encoding.
func (w *planner) encodes(p *part) bool {
	if p.kind != leaf || !identity(p.encoding) {
		return false
	}
	return w.wild(p) || p.found.long && p.encoding == "binary"
}

// encoder returns how a leaf is encoded: text with lines stays readable.
func (w *planner) encoder(p *part) segmentKind {
	if p.found.bare || p.found.cr || p.media != "" && !strings.HasPrefix(p.media, "text/") {
		return inBase64
	}
	return inQuotedPrintable
}

// changes reports whether anything of p is another one in the converted message.
func (w *planner) changes(p *part) bool {
	if p.kind == leaf {
		return w.encodes(p) || w.relabels(p)
	}
	return w.relabels(p) || w.wild(p) || slices.ContainsFunc(p.children, w.changes)
}

// relabels reports whether the label of p is one that the host cannot be shown.
func (w *planner) relabels(p *part) bool {
	return p.encoding == "binary" || p.encoding == "8bit" && !w.eightBit
}

// label returns the Content-Transfer-Encoding of p in the converted message.
func (w *planner) label(p *part) string {
	switch {
	case p.kind == leaf && w.encodes(p):
		return w.encoder(p).String()
	case !identity(p.encoding):
		return p.encoding
	case w.eight(p):
		return "8bit"
	}
	return "7bit"
}

// eight reports whether p has octets above 127 in the converted message.
func (w *planner) eight(p *part) bool {
	if !w.eightBit {
		return false
	}
	if p.kind == leaf {
		return p.found.eight && !w.encodes(p)
	}
	return p.found.eight && !w.wild(p) || slices.ContainsFunc(p.children, func(c *part) bool { return c.headFound.eight || w.eight(c) })
}

// relabel corrects the label in the header of p, and hands it to put.
func (w *planner) relabel(h *mail.Header, p *part, put func([]byte)) error {
	const name = "Content-Transfer-Encoding"
	label := w.label(p)
	first := h.Find(name, -1)
	if first < 0 && (label == "7bit" || label == p.encoding) {
		put(h.AppendTo(nil))
		return nil
	}
	for id := h.Find(name, first); first >= 0 && id >= 0; id = h.Find(name, first) {
		if err := h.Delete(id); err != nil {
			return err
		}
	}
	var err error
	if first >= 0 {
		err = h.Set(first, label)
	} else {
		_, err = h.Append(name, label)
	}
	put(h.AppendTo(nil))
	return err
}
