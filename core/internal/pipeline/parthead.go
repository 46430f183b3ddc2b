// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"mime"
	"strings"

	"github.com/postroad-mail/postroad/core/mail"
)

// describe reads the fields of a part's header. def is its type when it has
// none of its own (RFC 2045 §5.2, RFC 2046 §5.1.5).
func describe(h *mail.Header, def string) (p Part, boundary string) {
	get := func(name string) string {
		v, _ := h.Get(name)
		return v
	}
	typ, params := mediaType(get("Content-Type"), def)
	_, disp := mediaType(get("Content-Disposition"), "")
	enc := strings.ToLower(strings.TrimSpace(get("Content-Transfer-Encoding")))
	if enc == "" {
		enc = "7bit"
	}
	name := disp["filename"]
	if name == "" {
		name = params["name"]
	}
	return Part{
		Type: typ, Filename: fileName(name), Encoding: enc, Leaf: true,
		ContentID: strings.Trim(strings.TrimSpace(get("Content-Id")), "<>"),
		Charset:   strings.ToLower(params["charset"]),
	}, params["boundary"]
}

// mediaType reads a header of the form "type/subtype; name=value". A malformed
// one still gives what can be read: a filter must not be blind where a mail
// reader is lenient.
func mediaType(v, def string) (string, map[string]string) {
	if strings.TrimSpace(v) == "" {
		return def, nil
	}
	typ, params, err := mime.ParseMediaType(v)
	if err == nil {
		return typ, params
	}
	head, rest, _ := strings.Cut(v, ";")
	typ = strings.ToLower(strings.TrimSpace(head))
	if !strings.Contains(typ, "/") && def != "" {
		typ = def
	}
	return typ, lenientParams(rest)
}

func lenientParams(s string) map[string]string {
	params := map[string]string{}
	for _, f := range strings.Split(s, ";") {
		k, v, ok := strings.Cut(f, "=")
		k = strings.ToLower(strings.TrimSpace(k))
		k, _, _ = strings.Cut(k, "*")
		if v = strings.Trim(strings.TrimSpace(v), `"`); ok && params[k] == "" {
			params[k] = v
		}
	}
	return params
}

// fileName undoes RFC 2047 words and takes folders off.
func fileName(s string) string {
	if d, err := new(mime.WordDecoder).DecodeHeader(s); err == nil {
		s = d
	}
	if i := strings.LastIndexAny(s, `/\`); i >= 0 {
		s = s[i+1:]
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, s)
}
