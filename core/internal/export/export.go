// SPDX-License-Identifier: Apache-2.0

// Package export is the form in which queued messages travel from one machine
// to another: one file, text where it can be, with a checksum for each message
// and one for the whole.
//
//	postroad-export 1
//	message META HEADER BODY SHA256
//	…META octets of JSON…
//	…HEADER octets…
//	…BODY octets…
//	end COUNT SHA256
//
// The first line names form and version; a reader refuses versions that it does
// not know. META, HEADER and BODY are numbers of octets; the content follows
// as it is, and one LF behind each message. SHA256 is of META, HEADER and BODY
// octets together, in hexadecimal; the one of the last line is of all message
// lines with their ends. What has no such last line is not whole. The JSON is a
// Meta: fields that a reader does not know are left out.
package export

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"
	"time"

	"github.com/postroad-mail/postroad/core/mail"
)

// Version is the version that Writer writes.
const Version = 1

const firstLine = "postroad-export"

// Bounds of what Reader takes.
const (
	maxLine   = 256      // octets of a line of the form
	maxMeta   = 64 << 20 // octets of a Meta
	maxHeader = 64 << 20
	maxBody   = 1 << 40
)

// ErrDamaged is in the chain of the error for what is not a whole export.
var ErrDamaged = errors.New("not a whole export")

// Meta is what is known of a message beside its content.
type Meta struct {
	Envelope *mail.Envelope
	States   []State `json:",omitempty"` // by recipient; none: nothing was tried
	Hold     *Hold   `json:",omitempty"`
}

// State is what is known of a recipient.
type State struct {
	Status   mail.Status  // Deferred as long as it is waiting
	Attempts int          `json:",omitempty"`
	Next     time.Time    `json:",omitzero"`
	FirstTry time.Time    `json:",omitzero"`
	Warned   bool         `json:",omitempty"` // the sender was told of the delay
	WarnedAt time.Time    `json:",omitzero"`
	Last     mail.Outcome // Reply.Cause is not kept
	Held     bool         `json:",omitempty"`
}

// Hold says that a message is held, and why.
type Hold struct {
	Kind, Reason, By string
	Until            time.Time `json:",omitzero"`
}

// Writer writes an export. Close ends it.
type Writer struct {
	w     *bufio.Writer
	count int
	sum   hash.Hash // of the message lines
}

// NewWriter returns a Writer to w.
func NewWriter(w io.Writer) (*Writer, error) {
	b := bufio.NewWriter(w)
	_, err := fmt.Fprintf(b, "%s %d\n", firstLine, Version)
	return &Writer{w: b, sum: sha256.New()}, err
}

// Add writes one message.
func (w *Writer) Add(m *Meta, header []byte, body mail.Body) error {
	meta, err := json.Marshal(m)
	if err != nil {
		return err
	}
	size := int64(0)
	if body != nil {
		size = body.Size()
	}
	sum := sha256.New()
	sum.Write(meta)
	sum.Write(header)
	if _, err := io.Copy(sum, section(body, size)); err != nil {
		return err
	}
	line := fmt.Sprintf("message %d %d %d %x\n", len(meta), len(header), size, sum.Sum(nil))
	io.WriteString(w.sum, line) //nolint:errcheck // a hash takes everything
	w.count++
	parts := io.MultiReader(strings.NewReader(line), bytes.NewReader(meta), bytes.NewReader(header), section(body, size), strings.NewReader("\n"))
	_, err = io.Copy(w.w, parts)
	return err
}

func section(b mail.Body, size int64) io.Reader {
	if b == nil {
		return strings.NewReader("")
	}
	return io.NewSectionReader(b, 0, size)
}

// Close writes the last line. Without it nobody takes the export.
func (w *Writer) Close() error {
	fmt.Fprintf(w.w, "end %d %x\n", w.count, w.sum.Sum(nil))
	return w.w.Flush()
}

// Reader reads an export. Nothing of a message may be relied on before Next has
// returned behind it without an error that wraps ErrDamaged.
type Reader struct {
	r     *bufio.Reader
	count int
	sum   hash.Hash
	open  *Message // whose body is not read yet
}

// Message is one message of an export.
type Message struct {
	Meta
	Header []byte
	Size   int64     // octets of the body
	Body   io.Reader // ends with ErrDamaged in place of io.EOF when the checksum is wrong; Next skips what is left
}

// NewReader reads the first line.
func NewReader(r io.Reader) (*Reader, error) {
	e := &Reader{r: bufio.NewReader(r), sum: sha256.New()}
	line, err := e.line()
	if err != nil {
		return nil, err
	}
	var version int
	if n, _ := fmt.Sscanf(line, firstLine+" %d", &version); n != 1 {
		return nil, damaged("the first line is %q", line)
	}
	if version != Version {
		return nil, fmt.Errorf("export of version %d, this program knows %d", version, Version)
	}
	return e, nil
}

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrDamaged}, args...)...)
}

// line reads a line of the form, without its end.
func (e *Reader) line() (string, error) {
	b, err := e.r.Peek(1)
	if err != nil {
		return "", cutShort(err)
	}
	b = b[:0]
	for len(b) < maxLine {
		c, err := e.r.ReadByte()
		if err != nil {
			return "", cutShort(err)
		}
		if c == '\n' {
			return string(b), nil
		}
		b = append(b, c)
	}
	return "", damaged("a line has more than %d octets", maxLine)
}

// cutShort tells the end of the file from a fault of the disk.
func cutShort(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return damaged("it ends too early")
	}
	return err
}

// Next returns the next message, and io.EOF behind the last line.
func (e *Reader) Next() (*Message, error) {
	if err := e.finish(); err != nil {
		return nil, err
	}
	line, err := e.line()
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(line, "end ") {
		return nil, e.end(line)
	}
	return e.message(line)
}

// finish reads what is left of the message before.
func (e *Reader) finish() error {
	if e.open == nil {
		return nil
	}
	if _, err := io.Copy(io.Discard, e.open.Body); err != nil {
		return err
	}
	e.open = nil
	c, err := e.r.ReadByte()
	if err != nil {
		return cutShort(err)
	}
	if c != '\n' {
		return damaged("no line end behind message %d", e.count)
	}
	return nil
}

// end checks the last line.
func (e *Reader) end(line string) error {
	if want := fmt.Sprintf("end %d %x", e.count, e.sum.Sum(nil)); line != want {
		return damaged("the last line is %q, not %q", line, want)
	}
	if _, err := e.r.ReadByte(); err != io.EOF {
		return damaged("something follows the last line")
	}
	return io.EOF
}

// message reads a message up to its body.
func (e *Reader) message(line string) (*Message, error) {
	var meta, header, body int64
	var digest string
	if n, _ := fmt.Sscanf(line, "message %d %d %d %64s", &meta, &header, &body, &digest); n != 4 {
		return nil, damaged("%q is not the line of a message", line)
	}
	if line != fmt.Sprintf("message %d %d %d %s", meta, header, body, digest) {
		return nil, damaged("%q is not the line of a message", line)
	}
	if meta < 0 || meta > maxMeta || header < 0 || header > maxHeader || body < 0 || body > maxBody {
		return nil, damaged("a message of %d, %d and %d octets", meta, header, body)
	}
	io.WriteString(e.sum, line+"\n") //nolint:errcheck // a hash takes everything
	e.count++
	m := &Message{Size: body}
	sum := sha256.New()
	text, err := e.take(meta, sum)
	if err == nil {
		m.Header, err = e.take(header, sum)
	}
	if err != nil {
		return nil, err
	}
	m.Body = &bodyReader{r: e.r, left: body, sum: sum, want: digest, n: e.count}
	e.open = m
	if err := json.Unmarshal(text, &m.Meta); err != nil || m.Envelope == nil {
		return nil, damaged("message %d: what is known of it cannot be read: %v", e.count, err)
	}
	return m, nil
}

// take reads n octets, in steps, for n may be a lie.
func (e *Reader) take(n int64, sum hash.Hash) ([]byte, error) {
	var b bytes.Buffer
	if _, err := io.CopyN(io.MultiWriter(&b, sum), e.r, n); err != nil {
		return nil, cutShort(err)
	}
	return b.Bytes(), nil
}

// bodyReader reads a body and compares the checksum at its end.
type bodyReader struct {
	r    io.Reader
	left int64
	sum  hash.Hash
	want string
	n    int
}

// Read implements io.Reader.
func (b *bodyReader) Read(p []byte) (int, error) {
	if b.left == 0 {
		if got := hex.EncodeToString(b.sum.Sum(nil)); got != b.want {
			return 0, damaged("the checksum of message %d is wrong", b.n)
		}
		return 0, io.EOF
	}
	n, err := b.r.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	b.sum.Write(p[:n])
	if err != nil {
		return n, cutShort(err)
	}
	return n, nil
}
