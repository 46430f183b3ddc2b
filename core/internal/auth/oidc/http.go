// SPDX-License-Identifier: Apache-2.0

package oidc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"
)

// Bounds of a request.
const (
	patience = 10 * time.Second
	maxBody  = 1 << 20 // octets
)

func newClient(t http.RoundTripper) *http.Client {
	if t == nil {
		t = &http.Transport{
			Proxy: http.ProxyFromEnvironment, DialContext: (&net.Dialer{Timeout: patience / 2}).DialContext,
			TLSHandshakeTimeout: patience / 2, MaxResponseHeaderBytes: 64 << 10, MaxConnsPerHost: 16, IdleConnTimeout: time.Minute,
		}
	}
	return &http.Client{
		Transport: careful{t}, Timeout: patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return errors.New("a redirect is not followed") },
	}
}

// careful sends requests by TLS, or to this machine, and cuts answers that are too
// long.
type careful struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (c careful) RoundTrip(req *http.Request) (*http.Response, error) {
	if !Safe(req.URL) {
		return nil, fmt.Errorf("%s is neither https nor on this machine", req.URL.Redacted())
	}
	resp, err := c.RoundTripper.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		_ = resp.Body.Close()
		resp.Body = http.NoBody // it would end in our log
		return resp, nil
	}
	resp.Body = http.MaxBytesReader(nil, resp.Body, maxBody)
	return resp, nil
}

// CloseIdleConnections lets the client close those of the transport.
func (c careful) CloseIdleConnections() {
	if t, ok := c.RoundTripper.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}

// Safe reports whether what is sent to u can be read by nobody between.
func Safe(u *url.URL) bool {
	if u.Scheme == "https" && u.Host != "" {
		return true
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return u.Scheme == "http" && (u.Hostname() == "localhost" || err == nil && ip.IsLoopback())
}

func (d *Directory) get(ctx context.Context, from string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return nil, fmt.Errorf("oidc: %w", err)
	}
	return d.do(req)
}

// do returns the body of a good answer. A bad one is not shown: it may hold what
// we sent.
func (d *Directory) do(req *http.Request) ([]byte, error) {
	resp, err := d.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("oidc: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("oidc: %s answered %s", req.URL.Redacted(), resp.Status)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("oidc: %s: %w", req.URL.Redacted(), err)
	}
	return body, nil
}
