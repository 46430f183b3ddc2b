// SPDX-License-Identifier: Apache-2.0

package wasmhost

import (
	"bytes"
	"mime"
	"strconv"

	"github.com/emersion/go-message/charset"

	"github.com/postroad-mail/postroad/core/internal/pipeline"
	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/sdk/abi"
)

// What host functions charge for their own work, in units of fuel.
const (
	chargePerItem  = 20 // an entry of a list or map looked at
	chargePerOctet = 4  // an octet parsed
	octetsPerUnit  = 4  // octets copied for one unit
)

// hdrFind(p, n, after): the id of the next field of that name.
func hdrFind(i *instance, s []uint64) int64 {
	h := i.hook.Header()
	i.charge(int64(h.Len()) * chargePerItem)
	name := i.view(s[0], s[1])
	if len(name) > mail.MaxLine {
		return int64(abi.ErrNotFound)
	}
	return int64(h.Find(string(name), arg(s[2])))
}

// hdrGet(id, part, b, c): a part of a field.
func hdrGet(i *instance, s []uint64) int64 {
	h := i.hook.Header()
	i.charge(int64(h.Len()))
	f, ok := h.Field(arg(s[0]))
	if !ok {
		return int64(abi.ErrNotFound)
	}
	i.charge(int64(len(f.Raw)))
	switch arg(s[1]) {
	case abi.HdrName:
		return i.putString(s[2], s[3], f.Name())
	case abi.HdrRaw:
		return i.put(s[2], s[3], f.Raw)
	case abi.HdrUnfolded:
		return i.put(s[2], s[3], i.unfold(f))
	case abi.HdrDecoded:
		i.charge(int64(len(f.Raw)) * chargePerOctet)
		return i.putString(s[2], s[3], decode(string(i.unfold(f))))
	}
	return int64(abi.ErrUnsupported)
}

// unfold is mail.Field.Value without its allocations; the result lives until the
// next use of scratch.
func (i *instance) unfold(f mail.Field) []byte {
	raw := f.Raw
	if f.Name() != "" {
		raw = raw[bytes.IndexByte(raw, ':')+1:]
	}
	b := i.scratch[:0]
	for _, c := range raw {
		if c != '\r' && c != '\n' {
			b = append(b, c)
		}
	}
	i.scratch = b
	return bytes.Trim(b, " \t")
}

// decode undoes RFC 2047; words that cannot be decoded stay as they are.
func decode(s string) string {
	d := mime.WordDecoder{CharsetReader: charset.Reader}
	out, err := d.DecodeHeader(s)
	if err != nil {
		return s
	}
	return out
}

// editsHeader counts a header edit against the hook's share.
func (i *instance) editsHeader(n int) bool {
	i.used.headerEdits++
	i.charge(int64(i.hook.Header().Len()) * chargePerItem)
	return i.used.headerEdits <= maxHeaderEdits && i.spend(n)
}

// hdrAdd(pos, np, nn, vp, vn): a new field.
func hdrAdd(i *instance, s []uint64) int64 {
	name, value := i.view(s[1], s[2]), i.view(s[3], s[4])
	if !i.editsHeader(len(name) + len(value)) {
		return int64(abi.ErrLimit)
	}
	id, err := i.hook.AddHeader(int32(arg(s[0])), string(name), string(value))
	if err != nil {
		return i.errno("hdr_add", err)
	}
	return int64(id)
}

// hdrSet(id, p, n): a new value for a field.
func hdrSet(i *instance, s []uint64) int64 {
	value := i.view(s[1], s[2])
	if !i.editsHeader(len(value)) {
		return int64(abi.ErrLimit)
	}
	return i.errno("hdr_set", i.hook.SetHeader(arg(s[0]), string(value)))
}

// hdrDel(id): take a field out.
func hdrDel(i *instance, s []uint64) int64 {
	if !i.editsHeader(0) {
		return int64(abi.ErrLimit)
	}
	return i.errno("hdr_del", i.hook.DeleteHeader(arg(s[0])))
}

// readsView reports whether the stage may see a view: the whole message has the
// header in it, too.
func (i *instance) readsView(view int) bool {
	return view != abi.ViewMessage || i.stage.powers&readHeaders != 0
}

// msgSize(view): the octets of a view.
func msgSize(i *instance, s []uint64) int64 {
	n, err := i.hook.Size(arg(s[0]))
	if err != nil {
		return i.errno("msg_size", err)
	}
	return n
}

// msgRead(view, off, b, c): up to c octets of a view, 0 at the end.
func msgRead(i *instance, s []uint64) int64 {
	buf := i.view(s[2], s[3])
	if !i.readsView(arg(s[0])) {
		return int64(abi.ErrDenied)
	}
	buf = buf[:min(len(buf), maxReadChunk)]
	i.charge(int64(len(buf)) / octetsPerUnit)
	n, err := i.hook.ReadMessage(arg(s[0]), buf, int64(s[1]))
	if err != nil {
		return i.errno("msg_read", err)
	}
	return int64(n)
}

// bodyWrite(p, n, flags): octets of a new body.
func bodyWrite(i *instance, s []uint64) int64 {
	p := i.view(s[0], s[1])
	restart := s[2]&abi.WriteStart != 0
	if restart {
		i.used.bodies++
	}
	if i.used.bodies > maxBodies {
		return int64(abi.ErrLimit)
	}
	i.charge(int64(len(p)))
	return i.errno("body_write", i.hook.WriteBody(p, restart))
}

// tree is the MIME tree, whose first use in a hook is paid by the octet.
func (i *instance) tree(digest bool) (*pipeline.Parts, error) {
	if !i.used.parsed || digest && !i.used.hashed {
		n, _ := i.hook.Size(abi.ViewMessage)
		i.charge(n * chargePerOctet)
		i.used.parsed, i.used.hashed = true, i.used.hashed || digest
	}
	return i.hook.Parts()
}

// partCount(): the number of MIME parts.
func partCount(i *instance, _ []uint64) int64 {
	t, err := i.tree(false)
	if err != nil {
		return i.errno("part_count", err)
	}
	return int64(t.Len())
}

// partGet(i, field, b, c): a field of a MIME part.
func partGet(i *instance, s []uint64) int64 {
	n, field := arg(s[0]), arg(s[1])
	t, err := i.tree(field == abi.PartSHA256)
	if err != nil {
		return i.errno("part_get", err)
	}
	p, ok := t.Part(n)
	if !ok {
		return int64(abi.ErrNotFound)
	}
	switch field {
	case abi.PartSize:
		size, err := t.Size(n)
		if err != nil {
			return i.errno("part_get", err)
		}
		return i.putString(s[2], s[3], strconv.FormatInt(size, 10))
	case abi.PartSHA256:
		sum, err := t.SHA256(n)
		if err != nil {
			return i.errno("part_get", err)
		}
		return i.put(s[2], s[3], sum[:])
	}
	text, e := partText(&p, field)
	if e != 0 {
		return int64(e)
	}
	return i.putString(s[2], s[3], text)
}

// partRead is part_read(i, view, off, b, c): octets of a MIME part. The whole
// message as it stands has the header in it.
func partRead(i *instance, s []uint64) int64 {
	buf := i.view(s[3], s[4])
	n, view := arg(s[0]), arg(s[1])
	if n == 0 && view == abi.PartRaw && i.stage.powers&readHeaders == 0 {
		return int64(abi.ErrDenied)
	}
	t, err := i.tree(false)
	if err != nil {
		return i.errno("part_read", err)
	}
	buf = buf[:min(len(buf), maxReadChunk)]
	i.chargePart(t, n, view, len(buf))
	got, err := i.hook.ReadPart(n, view, buf, int64(s[2]))
	if err != nil {
		return i.errno("part_read", err)
	}
	return int64(got)
}

// chargePart charges for reading a part: the first read of a view decodes all of
// it, later ones copy.
func (i *instance) chargePart(t *pipeline.Parts, n, view, octets int) {
	i.charge(int64(octets) / octetsPerUnit)
	seen := partView{n, view}
	if view == abi.PartRaw || i.used.decoded[seen] {
		return
	}
	if i.used.decoded == nil {
		i.used.decoded = make(map[partView]bool)
	}
	if size, err := t.Size(n); err == nil {
		i.used.decoded[seen] = true
		i.charge(size * chargePerOctet)
	}
}

// partView is a view of a MIME part.
type partView struct{ part, view int }

func partText(p *pipeline.Part, field int) (string, abi.Errno) {
	switch field {
	case abi.PartType:
		return present(p.Type)
	case abi.PartParent:
		return strconv.Itoa(p.Parent), 0
	case abi.PartDepth:
		return strconv.Itoa(p.Depth), 0
	case abi.PartFilename:
		return present(p.Filename)
	case abi.PartContentID:
		return present(p.ContentID)
	case abi.PartCharset:
		return present(p.Charset)
	case abi.PartEncoding:
		return present(p.Encoding)
	}
	return "", abi.ErrUnsupported
}
