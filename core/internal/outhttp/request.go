// SPDX-License-Identifier: Apache-2.0

package outhttp

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/postroad-mail/postroad/core/internal/grant"
	"github.com/postroad-mail/postroad/sdk/abi"
)

// grants is what permits a request, and its redirects; it travels in their
// context.
type grants struct{ allow, wants []string }

type grantsKey struct{}

// build checks a request and makes it one of net/http.
func (r *Request) build(ctx context.Context, userAgent string) (*http.Request, error) {
	u, err := r.check()
	if err != nil {
		return nil, err
	}
	ctx = context.WithValue(ctx, grantsKey{}, grants{r.Allow, r.Wants})
	req, err := http.NewRequestWithContext(ctx, r.method(), u.String(), bytes.NewReader(r.Body))
	if err != nil {
		return nil, bad("the request is malformed")
	}
	req.Header.Set("User-Agent", userAgent)
	for _, field := range r.Header {
		name, value, _ := strings.Cut(field, ":")
		if strings.EqualFold(name, "User-Agent") {
			req.Header.Del("User-Agent")
		}
		req.Header.Add(name, textproto.TrimString(value))
	}
	return req, nil
}

func (r *Request) method() string {
	if r.Method == "" {
		return http.MethodGet
	}
	return r.Method
}

// check tells what is wrong with a request before anything is sent.
func (r *Request) check() (*url.URL, error) {
	methods := []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions}
	if !slices.Contains(methods, r.method()) {
		return nil, bad("the method is not one of " + strings.Join(methods, ", "))
	}
	u, err := parseURL(r.URL)
	if err != nil {
		return nil, err
	}
	if grant.Host(r.Allow, r.Wants, u) == grant.Nowhere {
		return nil, fmt.Errorf("%s: %w: the host is not granted", u.Hostname(), abi.ErrDenied)
	}
	if len(r.Body) > maxRequestBody {
		return nil, fmt.Errorf("%w: the request is longer than %d octets", abi.ErrLimit, maxRequestBody)
	}
	return u, checkFields(r.Header)
}

// parseURL reads a URL with a host in lower case without its last dot.
func parseURL(s string) (*url.URL, error) {
	if len(s) > maxURL {
		return nil, bad("the URL is too long")
	}
	u, err := url.Parse(s)
	if err != nil {
		return nil, bad("the URL is malformed")
	}
	return u, normalize(u)
}

func normalize(u *url.URL) error {
	host, port := strings.ToLower(strings.TrimSuffix(u.Hostname(), ".")), u.Port()
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return bad("the URL is neither http nor https")
	case u.User != nil:
		return bad("the URL has a user")
	case u.Opaque != "" || !validHost(host):
		return bad("the URL has no valid host; write a name outside of ASCII as xn--…")
	case strings.HasSuffix(u.Host, ":") || port != "" && !validPort(port):
		return bad("the URL has no valid port")
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if u.Host = host; port != "" {
		u.Host = host + ":" + port
	}
	return nil
}

// validHost tells whether a host in lower case is a name or an address.
func validHost(host string) bool {
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.Zone() == ""
	}
	if host == "" || len(host) > 253 {
		return false
	}
	for _, c := range []byte(host) {
		if c != '-' && c != '_' && c != '.' && (c < '0' || c > '9') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return true
}

func validPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0
}

func checkFields(fields []string) error {
	if len(fields) > maxFields {
		return fmt.Errorf("%w: more than %d header fields", abi.ErrLimit, maxFields)
	}
	octets := 0
	for _, f := range fields {
		name, value, ok := strings.Cut(f, ":")
		if !ok || !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(textproto.TrimString(value)) {
			return bad("a header field is malformed")
		}
		if reserved(name) {
			return bad("the header field " + textproto.CanonicalMIMEHeaderKey(name) + " is not a plugin's to set")
		}
		octets += len(f)
	}
	if octets > maxFieldOctets {
		return fmt.Errorf("%w: the header fields are longer than %d octets", abi.ErrLimit, maxFieldOctets)
	}
	return nil
}

// reserved tells whether a field is about the connection or the message's frame
// (RFC 9110 §7.6.1, RFC 9112 §6), or chooses another host behind the same
// address.
func reserved(name string) bool {
	switch strings.ToLower(name) {
	case "host", "connection", "content-length", "transfer-encoding", "te", "trailer", "upgrade", "keep-alive",
		"proxy-connection", "proxy-authorization", "proxy-authenticate", "http2-settings", "expect":
		return true
	}
	return false
}

func bad(what string) error { return fmt.Errorf("%w: %s", abi.ErrBadArgument, what) }

// checkRedirect decides whether a redirect is followed.
func checkRedirect(req *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return fmt.Errorf("%w: more than %d redirects", abi.ErrLimit, maxRedirects)
	}
	last := via[len(via)-1]
	if last.URL.Scheme == "https" && req.URL.Scheme != "https" {
		return fmt.Errorf("%w: a redirect from https to %s", abi.ErrDenied, req.URL.Scheme)
	}
	if err := normalize(req.URL); err != nil {
		return fmt.Errorf("%w: in a redirect: %w", abi.ErrIO, err)
	}
	if req.URL.Host != via[0].URL.Host {
		forget(req.Header)
	}
	req.Header.Del("Referer")
	return nil
}

// forget takes out what the plugin said to the host that it asked: another one
// is not to learn its keys.
func forget(h http.Header) {
	for name := range h {
		switch name {
		case "User-Agent", "Accept", "Content-Type":
		default:
			h.Del(name)
		}
	}
}
