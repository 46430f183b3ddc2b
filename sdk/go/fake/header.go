// SPDX-License-Identifier: Apache-2.0

package fake

import (
	"slices"
	"strings"

	"github.com/postroad-mail/postroad/sdk/abi"
)

// index returns the place of a field by its id, -1 when there is none. Fields
// that the test put there get their ids at first use.
func (h *Host) index(id int) int {
	for len(h.ids) < len(h.Header) {
		h.ids = append(h.ids, h.nextID)
		h.nextID++
	}
	return slices.Index(h.ids, id)
}

// HdrFind implements postroad.Host.
func (h *Host) HdrFind(name string, after int) int {
	at := h.index(after)
	if after >= 0 && at < 0 {
		return int(abi.ErrNotFound)
	}
	for i := at + 1; i < len(h.Header); i++ {
		if name == "" || strings.EqualFold(h.Header[i].Name, name) {
			return h.ids[i]
		}
	}
	return int(abi.ErrNotFound)
}

// HdrGet implements postroad.Host.
func (h *Host) HdrGet(id, part int, buf []byte) int {
	i := h.index(id)
	if i < 0 {
		return int(abi.ErrNotFound)
	}
	f := h.Header[i]
	switch part {
	case abi.HdrName:
		return put(buf, f.Name)
	case abi.HdrRaw:
		return put(buf, f.Name+": "+f.Value+"\r\n")
	case abi.HdrUnfolded:
		return put(buf, f.Value)
	case abi.HdrDecoded:
		return put(buf, decode(f.Value))
	}
	return int(abi.ErrUnsupported)
}

// HdrAdd implements postroad.Host.
func (h *Host) HdrAdd(pos int, name, value string) int {
	at, ok := h.place(pos)
	switch {
	case name == "" || strings.ContainsAny(name+value, "\r\n\x00"):
		return int(abi.ErrBadArgument)
	case !ok:
		return int(abi.ErrNotFound)
	}
	id := h.nextID
	h.nextID++
	h.Header = slices.Insert(h.Header, at, Field{name, value})
	h.ids = slices.Insert(h.ids, at, id)
	return id
}

// place turns a position into an index of Header.
func (h *Host) place(pos int) (int, bool) {
	end := h.index(-1) // gives out ids
	switch {
	case pos == abi.PosTop:
		return 0, true
	case pos == abi.PosEnd:
		return len(h.Header), true
	case pos < 0:
		return end, false
	}
	i := h.index((pos - 1) / 2)
	return i + (pos-1)%2, i >= 0
}

// HdrSet implements postroad.Host.
func (h *Host) HdrSet(id int, value string) int {
	i := h.index(id)
	switch {
	case i < 0:
		return int(abi.ErrNotFound)
	case strings.ContainsAny(value, "\r\n\x00"):
		return int(abi.ErrBadArgument)
	}
	h.Header[i].Value = value
	return 0
}

// HdrDel implements postroad.Host.
func (h *Host) HdrDel(id int) int {
	i := h.index(id)
	if i < 0 {
		return int(abi.ErrNotFound)
	}
	h.Header, h.ids = slices.Delete(h.Header, i, i+1), slices.Delete(h.ids, i, i+1)
	return 0
}
