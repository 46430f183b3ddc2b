// SPDX-License-Identifier: Apache-2.0

package mail

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"unicode/utf8"
)

// Errors of the header functions.
var (
	ErrHeaderSize = errors.New("header section is too large")
	ErrFieldName  = errors.New("header field name is not valid")
	ErrFieldValue = errors.New("header field value is not valid")
	ErrNoField    = errors.New("no such header field")
)

// Header is the header section of a message (RFC 5322 §2.2): fields in their
// order, duplicates kept, octets kept. The zero value is an empty header.
// Fields have ids that stay the same whatever is inserted or deleted.
type Header struct {
	fields []Field
	next   int
	closed bool // the empty line that ends the section is there
}

// Field is one header field. Raw is shared between copies and must not be
// changed.
type Field struct {
	ID  int
	Raw []byte // the field with its folding and its last CRLF
}

// Name returns the field's name as written; empty for a line without a colon.
func (f Field) Name() string {
	if i := bytes.IndexByte(f.Raw, ':'); i > 0 && validName(bytes.TrimRight(f.Raw[:i], " \t")) {
		return string(bytes.TrimRight(f.Raw[:i], " \t"))
	}
	return ""
}

// Is reports whether the field has that name, in any case.
func (f Field) Is(name string) bool {
	if len(f.Raw) <= len(name) || !strings.EqualFold(string(f.Raw[:len(name)]), name) {
		return false
	}
	rest := bytes.TrimLeft(f.Raw[len(name):], " \t")
	return len(name) > 0 && len(rest) > 0 && rest[0] == ':'
}

// Value returns the field's body unfolded (RFC 5322 §2.2.3): line ends taken
// out, white space around it trimmed. For a line without a colon it is the line.
func (f Field) Value() string {
	body := f.Raw
	if f.Name() != "" {
		body = body[bytes.IndexByte(body, ':')+1:]
	}
	body = bytes.Trim(body, " \t\r\n")
	if bytes.IndexByte(body, '\n') < 0 && bytes.IndexByte(body, '\r') < 0 {
		return string(body)
	}
	out := make([]byte, 0, len(body))
	for _, c := range body {
		if c != '\r' && c != '\n' {
			out = append(out, c)
		}
	}
	return string(out)
}

// ParseHeader splits raw, a header section with CRLF or LF line ends, into
// fields. An empty line ends it. It never fails: a line without a colon is kept
// as a malformed field. The result keeps raw.
func ParseHeader(raw []byte) Header {
	h := Header{fields: make([]Field, 0, bytes.Count(raw, []byte{'\n'})+1)}
	for len(raw) > 0 {
		n := fieldLen(raw)
		if isEmptyLine(raw[:n]) {
			h.closed = true
			break
		}
		h.fields = append(h.fields, Field{ID: h.next, Raw: raw[:n:n]})
		h.next++
		raw = raw[n:]
	}
	return h
}

// fieldLen returns the length of the first field in raw with its continuation
// lines.
func fieldLen(raw []byte) int {
	n := 0
	for {
		i := bytes.IndexByte(raw[n:], '\n')
		if i < 0 {
			return len(raw)
		}
		first := n == 0
		n += i + 1
		if first && isEmptyLine(raw[:n]) {
			return n
		}
		if n == len(raw) || raw[n] != ' ' && raw[n] != '\t' {
			return n
		}
	}
}

func isEmptyLine(b []byte) bool {
	return len(b) == 1 && b[0] == '\n' || len(b) == 2 && b[0] == '\r' && b[1] == '\n'
}

// ReadHeader reads a header section from r up to and with the empty line, or
// to the end of r. It fails with ErrHeaderSize when the section is longer than
// max octets, and otherwise only with r's error. A message whose first line is
// not a header field has no header: nothing is consumed, and the section counts
// as ended, so that a field can be put in front of it. r's buffer must hold
// 998 octets.
func ReadHeader(r *bufio.Reader, max int) (Header, error) {
	head, err := r.Peek(MaxLine)
	if err != nil && err != io.EOF {
		return Header{}, err
	}
	if len(head) > 0 && !startsField(head) && head[0] != '\r' && head[0] != '\n' {
		return Header{closed: true}, nil
	}
	raw := make([]byte, 0, 1024)
	for {
		line, err := r.ReadSlice('\n')
		if len(raw)+len(line) > max {
			return Header{}, ErrHeaderSize
		}
		atStart := len(raw) == 0 || raw[len(raw)-1] == '\n'
		raw = append(raw, line...)
		switch {
		case err == io.EOF || err == nil && atStart && isEmptyLine(line):
			return ParseHeader(raw), nil
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return Header{}, err
		}
	}
}

// startsField reports whether b begins like a header field: a name of
// printable characters and a colon (RFC 5322 §2.2).
func startsField(b []byte) bool {
	i := bytes.IndexByte(b, ':')
	return i > 0 && validName(bytes.TrimRight(b[:i], " \t"))
}

// Len returns the number of fields.
func (h *Header) Len() int { return len(h.fields) }

// Fields returns the fields in order. The slice belongs to h.
func (h *Header) Fields() []Field { return h.fields }

// Size returns the length of the section in octets, with the empty line if it
// is there.
func (h *Header) Size() int64 {
	n := int64(0)
	for i := range h.fields {
		n += int64(len(h.fields[i].Raw))
	}
	if h.closed {
		n += 2
	}
	return n
}

// AppendTo appends the section to b, with the empty line if it is there.
func (h *Header) AppendTo(b []byte) []byte {
	for i := range h.fields {
		b = append(b, h.fields[i].Raw...)
	}
	if h.closed {
		b = append(b, '\r', '\n')
	}
	return b
}

// End makes sure that the empty line is there, as it must be before a body.
func (h *Header) End() {
	h.endLine()
	h.closed = true
}

// endLine ends the last line of the section, which has no end when the message
// was over there (BDAT takes such): else what follows would become part of it.
func (h *Header) endLine() {
	last := len(h.fields) - 1
	if last < 0 {
		return
	}
	if raw := h.fields[last].Raw; !bytes.HasSuffix(raw, []byte("\n")) {
		h.fields = append(h.fields[:last:last], Field{h.fields[last].ID, append(raw[:len(raw):len(raw)], '\r', '\n')})
	}
}

// Clone returns a copy whose changes do not show in h.
func (h *Header) Clone() Header {
	return Header{fields: append([]Field(nil), h.fields...), next: h.next, closed: h.closed}
}

// Get returns the unfolded value of the first field of that name, and whether
// there is one.
func (h *Header) Get(name string) (string, bool) {
	if i := h.Find(name, -1); i >= 0 {
		return h.fields[h.index(i)].Value(), true
	}
	return "", false
}

// Values returns the unfolded values of all fields of that name, in order.
func (h *Header) Values(name string) []string {
	var vs []string
	for i := range h.fields {
		if h.fields[i].Is(name) {
			vs = append(vs, h.fields[i].Value())
		}
	}
	return vs
}

// Count returns the number of fields of that name.
func (h *Header) Count(name string) int {
	n := 0
	for i := range h.fields {
		if h.fields[i].Is(name) {
			n++
		}
	}
	return n
}

// Find returns the id of the first field of that name behind the field with id
// after, or behind the start when after is negative; -1 when there is none. An
// empty name matches every field.
func (h *Header) Find(name string, after int) int {
	start := 0
	if after >= 0 {
		start = h.index(after) + 1
		if start == 0 {
			return -1
		}
	}
	for i := start; i < len(h.fields); i++ {
		if name == "" || h.fields[i].Is(name) {
			return h.fields[i].ID
		}
	}
	return -1
}

// Field returns the field with that id.
func (h *Header) Field(id int) (Field, bool) {
	if i := h.index(id); i >= 0 {
		return h.fields[i], true
	}
	return Field{}, false
}

// InsertTop puts a new field in front of all others and returns its id.
func (h *Header) InsertTop(name, value string) (int, error) { return h.insert(0, name, value) }

// Append puts a new field behind all others and returns its id.
func (h *Header) Append(name, value string) (int, error) {
	return h.insert(len(h.fields), name, value)
}

// InsertBefore puts a new field in front of the one with that id, InsertAfter
// behind it. Both return the new field's id.
func (h *Header) InsertBefore(id int, name, value string) (int, error) {
	if i := h.index(id); i >= 0 {
		return h.insert(i, name, value)
	}
	return -1, ErrNoField
}

// InsertAfter puts a new field behind the one with that id.
func (h *Header) InsertAfter(id int, name, value string) (int, error) {
	if i := h.index(id); i >= 0 {
		return h.insert(i+1, name, value)
	}
	return -1, ErrNoField
}

// Set replaces the value of the field with that id; name and place stay.
func (h *Header) Set(id int, value string) error {
	i := h.index(id)
	if i < 0 {
		return ErrNoField
	}
	raw, err := FormatField(h.fields[i].Name(), value)
	if err == nil {
		h.fields[i].Raw = raw
	}
	return err
}

// Delete takes the field with that id out.
func (h *Header) Delete(id int) error {
	i := h.index(id)
	if i < 0 {
		return ErrNoField
	}
	h.fields = append(h.fields[:i:i], h.fields[i+1:]...)
	return nil
}

func (h *Header) insert(at int, name, value string) (int, error) {
	raw, err := FormatField(name, value)
	if err != nil {
		return -1, err
	}
	if at == len(h.fields) {
		h.endLine()
	}
	f := Field{ID: h.next, Raw: raw}
	h.next++
	fields := make([]Field, 0, len(h.fields)+1) // a copy of h may share the old array
	h.fields = append(append(append(fields, h.fields[:at]...), f), h.fields[at:]...)
	return f.ID, nil
}

func (h *Header) index(id int) int {
	for i := range h.fields {
		if h.fields[i].ID == id {
			return i
		}
	}
	return -1
}

// Line lengths of RFC 5322 §2.1.1, in octets without the CRLF.
const (
	MaxLine  = 998 // hard
	FoldLine = 78  // soft: fields that we write are folded here
)

// FormatField returns "name: value CRLF", folded at white space at 78 octets
// where that is possible. It refuses a name that is not printable ASCII
// (ErrFieldName), and a value with CR, LF or NUL, invalid UTF-8, or a word too
// long for a line (ErrFieldValue).
func FormatField(name, value string) ([]byte, error) {
	if !validName([]byte(name)) || len(name) > 76 {
		return nil, ErrFieldName
	}
	if strings.ContainsAny(value, "\r\n\x00") || !utf8.ValidString(value) {
		return nil, ErrFieldValue
	}
	b := append(make([]byte, 0, len(name)+len(value)+len(value)/16+16), name...)
	b = append(b, ':')
	width := len(b)
	for rest := " " + value; rest != ""; {
		word := firstWord(rest)
		rest = rest[len(word):]
		if width+len(word) > FoldLine && width > len(name)+1 && strings.Trim(word, " \t") != "" {
			b = append(b, '\r', '\n')
			width = 0
		}
		if width += len(word); width > MaxLine {
			return nil, ErrFieldValue
		}
		b = append(b, word...)
	}
	return append(b, '\r', '\n'), nil
}

// firstWord returns the white space at the beginning of s and the word behind it.
func firstWord(s string) string {
	inWord := false
	for i := 0; i < len(s); i++ {
		space := s[i] == ' ' || s[i] == '\t'
		if space && inWord {
			return s[:i]
		}
		inWord = inWord || !space
	}
	return s
}

func validName(b []byte) bool {
	for _, c := range b {
		if c <= ' ' || c >= 0x7f || c == ':' {
			return false
		}
	}
	return len(b) > 0
}
