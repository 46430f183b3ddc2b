// SPDX-License-Identifier: Apache-2.0

package capture

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/postroad-mail/postroad/core/mail"
)

// Words of Options.Redact: what is hidden before a message is written.
const (
	RedactBody      = "body"      // letters and digits become x and 0; MIME structure, part headers and lengths stay
	RedactSubject   = "subject"   // the same, for Subject, Comments and Keywords, also where a decision quotes them
	RedactAddresses = "addresses" // local parts become pseudonyms, the same for the same one; domains stay
	RedactClient    = "client"    // network in place of the address, no names, no user; also in our Received field
)

// CheckRedact returns an error that names the first unknown word.
func CheckRedact(words []string) error {
	known := []string{RedactAddresses, RedactBody, RedactClient, RedactSubject}
	for _, w := range words {
		if !slices.Contains(known, w) {
			return fmt.Errorf("redact = [%q] is not known; known are %s", w, strings.Join(known, ", "))
		}
	}
	return nil
}

// keyFile is the file of the folder's key.
const keyFile = "key"

// pseudonymKey returns the folder's key, made at the first use. Without it a
// pseudonym cannot be tried out against a list of names.
func pseudonymKey(dir string) ([]byte, error) {
	path := filepath.Join(dir, keyFile)
	key, err := os.ReadFile(path)
	if err == nil && len(key) == sha256.Size {
		return key, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	key = make([]byte, sha256.Size)
	rand.Read(key)
	return key, os.WriteFile(path, key, 0o600)
}

// redactor hides what the policy names.
type redactor struct {
	key                              []byte
	text, subject, addresses, client bool
	words                            []string
}

func newRedactor(words []string, key []byte) *redactor {
	has := func(w string) bool { return slices.Contains(words, w) }
	return &redactor{key: key, words: words, text: has(RedactBody), subject: has(RedactSubject), addresses: has(RedactAddresses), client: has(RedactClient)}
}

// record hides what is beside the content; h is the message's header.
func (r *redactor) record(rec *Record, h *mail.Header) {
	rec.Redacted = r.words
	rec.Client.Notes = nil
	rec.Decision = slices.Clone(rec.Decision)
	if r.subject {
		maskQuotes(rec.Decision, h)
		MaskFields(rec.Decision)
	}
	if r.client {
		hideClient(rec.Decision, &rec.Client)
		rec.PeerCert = nil
		rec.Client = mail.Client{Addr: network(rec.Client.Addr), Protocol: rec.Client.Protocol, TLSVersion: rec.Client.TLSVersion,
			TLSCipher: rec.Client.TLSCipher, Listener: rec.Client.Listener, Authenticated: rec.Client.Authenticated,
			SessionID: rec.Client.SessionID} // which is random, and chooses the canary's share
	}
	if !r.addresses {
		return
	}
	rec.Sender = r.address(rec.Sender)
	rec.Params = ""
	rec.Recipients = slices.Clone(rec.Recipients)
	for i := range rec.Recipients {
		rec.Recipients[i] = Recipient{Address: r.address(rec.Recipients[i].Address)}
	}
	for i, line := range rec.Decision {
		rec.Decision[i] = r.inText(line)
	}
}

// subjects are the fields that RedactSubject hides.
var subjects = []string{"Subject", "Comments", "Keywords"}

// decidedField is a line of a decision about one of them: "header + Subject: x".
var decidedField = regexp.MustCompile(`(?i)^header [+-] (?:` + strings.Join(subjects, "|") + `):`)

// MaskFields hides in the lines of a decision what stages did to the fields of
// RedactSubject, as in a capture. What is hidden already stays as it is.
func MaskFields(decision []string) {
	for i, line := range decision {
		if n := len(decidedField.FindString(line)); n > 0 {
			decision[i] = line[:n] + string(mask([]byte(line[n:])))
		}
	}
}

// maskQuotes hides the values of the fields of RedactSubject where something
// else, such as a reply, quotes them.
func maskQuotes(decision []string, h *mail.Header) {
	for _, name := range subjects {
		for _, v := range h.Values(name) {
			replaceWord(decision, strings.TrimSpace(v), string(mask([]byte(strings.TrimSpace(v)))))
		}
	}
}

// hideClient hides the client where stages have named it. What is there instead
// is what they see in a replay.
func hideClient(decision []string, c *mail.Client) {
	if ip := c.Addr.Addr().Unmap(); ip.IsValid() {
		replaceWord(decision, ip.String(), network(c.Addr).Addr().String())
	}
	for _, name := range []string{c.Name, c.Helo, c.User} {
		replaceWord(decision, name, "unknown")
	}
}

// replaceWord replaces a text in all lines, where it is not a part of a longer
// word, name or address.
func replaceWord(lines []string, old, with string) {
	if old == "" {
		return
	}
	word := regexp.MustCompile(`(?i)(^|[^0-9A-Za-z.@_-])` + regexp.QuoteMeta(old) + `($|[^0-9A-Za-z_-])`)
	with = "${1}" + strings.ReplaceAll(with, "$", "$$") + "${2}"
	for i := range lines {
		for range 2 { // of two beside each other the first takes what is between
			lines[i] = word.ReplaceAllString(lines[i], with)
		}
	}
}

// network returns an address with its last part cleared: /24 or /48.
func network(a netip.AddrPort) netip.AddrPort {
	ip, bits := a.Addr().Unmap(), 48
	if ip.Is4() {
		bits = 24
	}
	p, err := ip.Prefix(bits)
	if err != nil {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(p.Addr(), 0)
}

// address returns an address with a pseudonym for its local part.
func (r *redactor) address(a string) string {
	at := strings.LastIndexByte(a, '@')
	if at < 0 {
		return a
	}
	m := hmac.New(sha256.New, r.key)
	m.Write([]byte(strings.ToLower(a)))
	return "u" + hex.EncodeToString(m.Sum(nil)[:8]) + a[at:]
}

// An address in running text. Quoted local parts are taken whole.
var addrSpec = regexp.MustCompile(`("(?:[^"\\\r\n]|\\.)*"|[^\s<>()\[\]:;,"@\\]+)@([A-Za-z0-9.\-\x80-\xff]+|\[[^\]\r\n]*\])`)

func (r *redactor) inText(s string) string { return addrSpec.ReplaceAllStringFunc(s, r.address) }

// header returns the octets of the header section. c is the client as it was.
func (r *redactor) header(h *mail.Header, c *mail.Client) []byte {
	if !r.addresses && !r.subject && !r.client {
		return h.AppendTo(nil)
	}
	all, n := h.AppendTo(nil), 0
	var b []byte
	for i, f := range h.Fields() {
		n += len(f.Raw)
		if i == 0 && r.client && f.Is("Received") {
			f.Raw = received(f.Raw, c)
		}
		b = append(b, r.field(f)...)
	}
	return append(b, all[n:]...)
}

// fromClause is how our Received field begins: whom the mail is from, by its own
// word and by what we know. Neither can hold a parenthesis.
var fromClause = regexp.MustCompile(`(?i)^(received:)\s*from\s[^()]*\([^()]*\)`)

// received returns our Received field, which is the first one, without names and
// address of the client. Those below it were there when the mail came.
func received(raw []byte, c *mail.Client) []byte {
	at := fromClause.FindSubmatchIndex(raw)
	if at == nil {
		return raw
	}
	from := " from unknown"
	if n := network(c.Addr).Addr(); n.Is4() {
		from += " ([" + n.String() + "])"
	} else if n.IsValid() {
		from += " ([IPv6:" + n.String() + "])"
	}
	return slices.Concat(raw[:at[3]], []byte(from), raw[at[1]:])
}

func (r *redactor) field(f mail.Field) []byte {
	raw := f.Raw
	colon := bytes.IndexByte(raw, ':') + 1
	if r.subject && slices.ContainsFunc(subjects, f.Is) {
		raw = append(bytes.Clone(raw[:colon]), mask(bytes.Clone(raw[colon:]))...)
	}
	if r.addresses {
		raw = []byte(r.inText(string(raw)))
	}
	return raw
}

// mask hides letters and digits in place, so that lengths and line ends stay.
func mask(b []byte) []byte {
	for i, c := range b {
		switch {
		case c >= 'a' && c <= 'z', c >= 0x80:
			b[i] = 'x'
		case c >= 'A' && c <= 'Z':
			b[i] = 'X'
		case c >= '0' && c <= '9':
			b[i] = '0'
		}
	}
	return b
}

// body returns a reader of the body.
func (r *redactor) body(h *mail.Header, body mail.Body) io.Reader {
	if body == nil {
		return bytes.NewReader(nil)
	}
	src := io.NewSectionReader(body, 0, body.Size())
	if !r.text {
		return src
	}
	m := &maskedBody{src: bufio.NewReaderSize(src, 16<<10), lineStart: true}
	for _, v := range h.Values("Content-Type") {
		m.learn(v)
	}
	return m
}

// maskedBody hides the text of a body but keeps what makes its MIME tree:
// boundaries and the headers of parts.
type maskedBody struct {
	src        *bufio.Reader
	boundaries []string
	field      []byte // of a part's header, the one that is being read
	inHeader   bool
	lineStart  bool // the next piece begins a line
	left       []byte
	err        error
}

// maxBoundaries bounds what a hostile message can make us remember.
const maxBoundaries = 100

func (m *maskedBody) learn(contentType string) {
	_, params, err := mime.ParseMediaType(contentType)
	if b := params["boundary"]; err == nil && b != "" && len(m.boundaries) < maxBoundaries {
		m.boundaries = append(m.boundaries, b)
	}
}

// Read implements io.Reader.
func (m *maskedBody) Read(p []byte) (int, error) {
	for len(m.left) == 0 {
		if m.err != nil {
			return 0, m.err
		}
		piece, err := m.src.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			m.err = err
		}
		m.left = m.piece(bytes.Clone(piece))
	}
	n := copy(p, m.left)
	m.left = m.left[n:]
	return n, nil
}

// piece hides one line, or a part of a line that is too long.
func (m *maskedBody) piece(b []byte) []byte {
	first := m.lineStart
	m.lineStart = bytes.HasSuffix(b, []byte{'\n'})
	if first && m.delimiter(b) {
		return b
	}
	if !m.inHeader {
		return mask(b)
	}
	m.partHeader(b)
	return b
}

// delimiter reports whether a line is a boundary, and begins or ends a part.
func (m *maskedBody) delimiter(line []byte) bool {
	if !bytes.HasPrefix(line, []byte("--")) {
		return false
	}
	text := strings.TrimRight(string(line[2:]), " \t\r\n")
	for _, b := range m.boundaries {
		if text == b || text == b+"--" {
			m.inHeader, m.field = text == b, nil
			return true
		}
	}
	return false
}

// partHeader looks at a line of a part's header for a boundary.
func (m *maskedBody) partHeader(line []byte) {
	if len(line) > 0 && (line[0] == ' ' || line[0] == '\t') && len(m.field) < 16<<10 {
		m.field = append(m.field, line...)
		return
	}
	if name, value, ok := bytes.Cut(m.field, []byte{':'}); ok && strings.EqualFold(string(name), "Content-Type") {
		m.learn(strings.Join(strings.Fields(string(value)), " "))
	}
	m.field = append(m.field[:0], line...)
	if len(bytes.TrimRight(line, "\r\n")) == 0 {
		m.inHeader = false
	}
}
