// SPDX-License-Identifier: Apache-2.0

package smtpin

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// extensions are those that this server has, in the order of the EHLO list.
func extensions() []string {
	return []string{"PIPELINING", "8BITMIME", "SMTPUTF8", "CHUNKING", "BINARYMIME", "ENHANCEDSTATUSCODES", "DSN",
		"LIMITS", "FUTURERELEASE", "DELIVERBY", "MT-PRIORITY", "RRVS", "REQUIRETLS", "AUTH", "STARTTLS", "SIZE"}
}

// offer is what a client may use, and the EHLO reply that says so. It does not
// change.
type offer struct {
	list []string // lines of the EHLO reply behind the host name
	text string   // the EHLO reply
	size int64    // octets that a message may have
	bounds
}

func newOffer(hostname string, list []string, size int64) *offer {
	lines := append([]string{hostname}, list...)
	last := len(lines) - 1
	var text strings.Builder
	for _, l := range lines[:last] {
		text.WriteString("250-" + l + "\r\n")
	}
	text.WriteString("250 " + lines[last] + "\r\n")
	return &offer{list: slices.Clip(list), text: text.String(), size: size}
}

// Offered returns the list that a server with these Options hands to
// Session.Helo, on a plain connection or above TLS.
func Offered(o Options, tls bool) []string {
	o = o.withDefaults()
	return offered(&o, tls).list
}

// offered returns what the server offers before a Backend is asked.
func offered(o *Options, tls bool) *offer {
	var list []string
	for _, e := range extensions() {
		switch {
		case !o.offers(e) || tls && e == "STARTTLS" || !tls && e == "REQUIRETLS" || e == "AUTH": // for AUTH see withAuth
		case e == "SIZE":
			list = append(list, fmt.Sprintf("SIZE %d", o.Limits.MessageSize))
		default:
			list = append(list, o.line(e))
		}
	}
	f := newOffer(o.Hostname, list, o.Limits.MessageSize)
	f.bounds = o.bounds()
	return f
}

// has reports whether the extension is on the list.
func (f *offer) has(extension string) bool {
	_, ok := f.find(extension)
	return ok
}

// find returns the parameters of an extension on the list.
func (f *offer) find(extension string) (params string, ok bool) {
	for _, line := range f.list {
		if keyword, params, _ := strings.Cut(line, " "); strings.EqualFold(keyword, extension) {
			return params, true
		}
	}
	return "", false
}

// The limits of an EHLO list that a Backend returns. RFC 5321 §4.5.3.1.5 gives
// a reply line 512 octets with its code and CRLF.
const (
	maxOfferLines = 100
	maxOfferLine  = maxReplyLine - len("250-\r\n")
)

var errOffer = errors.New("smtpin: the backend's EHLO list is not valid")

// edited returns the offer with another list. Nothing comes on it that f does
// not have, but for extensions that this server knows nothing of.
func (f *offer) edited(hostname string, list []string) (*offer, error) {
	if slices.Equal(f.list, list) {
		return f, nil
	}
	if len(list) > maxOfferLines {
		return nil, fmt.Errorf("%w: it has %d lines", errOffer, len(list))
	}
	var kept []string
	for _, line := range list {
		keyword, ok := offerKeyword(line)
		switch {
		case !ok:
			return nil, fmt.Errorf("%w: line %.100q", errOffer, line)
		case f.has(keyword) || !slices.Contains(extensions(), keyword) && keyword != "XCLIENT":
			kept = append(kept, line)
		}
	}
	e := newOffer(hostname, sound(kept), f.size)
	e.size = e.smaller(f.size)
	e.bounds = f.within(e)
	return e, nil
}

// smaller returns the SIZE on the list where it is below size. 0 is no limit
// (RFC 1870 §3).
func (f *offer) smaller(size int64) int64 {
	params, _ := f.find("SIZE")
	n, err := strconv.ParseInt(params, 10, 64)
	if err != nil || n <= 0 || n > size {
		return size
	}
	return n
}

// offerKeyword returns the keyword of a line of the list in upper case, if the
// line is an ehlo-line (RFC 5321 §4.1.1.1).
func offerKeyword(line string) (string, bool) {
	keyword, params, spaced := strings.Cut(line, " ")
	if len(line) > maxOfferLine || keyword == "" || keyword[0] == '-' || spaced && params == "" {
		return "", false
	}
	for i := 0; i < len(keyword); i++ {
		if c := keyword[i]; c != '-' && !alphanumeric(c) {
			return "", false
		}
	}
	for i := 0; i < len(params); i++ {
		if c := params[i]; c < ' ' || c > '~' {
			return "", false
		}
	}
	return strings.ToUpper(keyword), true
}

func alphanumeric(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}
