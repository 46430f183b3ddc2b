// SPDX-License-Identifier: Apache-2.0

// Package outhttp makes the HTTP requests of plugins. Who writes them is a
// stranger, and may act for somebody who wants to reach what only this machine
// can: so a request goes to hosts that the operator granted and to no others,
// by redirect neither; an address inside the operator's networks is refused when
// the connection is made, after the name was looked up, unless the grant names
// that very host; and size, time, redirects and fields are bounded. Nothing of
// the surroundings is used: no proxy of the environment, no cookies.
//
// Do waits for the answer. Queue takes a request over and sends it later, for
// hooks that do not wait: in the order of its stage, a few at a time, each stage
// with a bounded line of its own, so that a slow host holds up its own stage.
//
// Errors hold the abi.Errno that they mean for a plugin: ErrDenied for a host
// that is not granted or inside, ErrBadArgument for a malformed request, ErrLimit
// for what is too large or too much, ErrTimeout, ErrIO for everything else. They
// name hosts, never paths or queries, in which people put secrets.
package outhttp

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/postroad-mail/postroad/core/internal/grant"
	"github.com/postroad-mail/postroad/sdk/abi"
)

// Bounds of a request and its answer.
const (
	defaultTimeout = 10 * time.Second
	maxURL         = 8 << 10  // octets
	maxFields      = 64       // header fields of a request
	maxFieldOctets = 16 << 10 // of all of them
	maxRequestBody = 1 << 20
	maxHeader      = 64 << 10 // octets of an answer's header section
	maxBody        = 1 << 20  // octets of an answer's body, at most
	maxRedirects   = 3
	maxConnections = 32 // to one host
	idleTime       = time.Minute
)

// Resolver finds the addresses of a host, which may be an address itself.
type Resolver interface {
	LookupIP(ctx context.Context, host string) ([]netip.Addr, error)
}

// Options are what a Client needs from its surroundings. Resolver and IsPublic
// must be set.
type Options struct {
	Resolver  Resolver
	IsPublic  func(netip.Addr) bool // whether an address is outside of the operator's networks
	RootCAs   *x509.CertPool        // nil: the system's
	UserAgent string                // of requests that name none
	Timeout   time.Duration         // of one request, redirects and answer included; 0: 10 s
	Logger    hclog.Logger          // nil: none

	// Dial connects to an address that was found good; nil: a net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Request is a request as a plugin wrote it.
type Request struct {
	Stage   string   // whose request it is
	Method  string   // empty: GET
	URL     string   // http or https
	Header  []string // fields as "Name: value"
	Body    []byte
	Allow   []string // hosts that the operator grants, see Permitted
	Wants   []string // hosts that the plugin asked for in its manifest; nil: it has none
	MaxBody int64    // octets that the answer's body may have; 0: 1 MiB, which is also the most
}

// Response is the answer to a Request.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
}

// Client makes requests. It is safe for use by many goroutines, and must be
// closed.
type Client struct {
	o      Options
	http   *http.Client
	public *http.Transport // to addresses outside
	inside *http.Transport // to any address; for hosts that are granted by name

	ctx    context.Context // of queued requests; ends when Close gives up on them
	cancel context.CancelFunc
	mu     sync.Mutex
	lines  map[string]*line // by stage, while there is something in it
	closed bool
	work   sync.WaitGroup
}

// New returns a Client without connections.
func New(o Options) *Client {
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	if o.Dial == nil {
		o.Dial = new(net.Dialer).DialContext
	}
	c := &Client{o: o, lines: map[string]*line{}}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.public, c.inside = c.transport(grant.Outside), c.transport(grant.Anywhere)
	c.http = &http.Client{Transport: router{c}, CheckRedirect: checkRedirect}
	return c
}

// transport makes one of the two: they do not share connections, so that one
// which was made under a literal grant is never used under a pattern.
func (c *Client) transport(r grant.Reach) *http.Transport {
	return &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			return c.dial(ctx, r, network, address)
		},
		TLSClientConfig:        &tls.Config{RootCAs: c.o.RootCAs, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    c.o.Timeout,
		ResponseHeaderTimeout:  c.o.Timeout,
		MaxResponseHeaderBytes: maxHeader,
		MaxConnsPerHost:        maxConnections,
		MaxIdleConnsPerHost:    4,
		MaxIdleConns:           100,
		IdleConnTimeout:        idleTime,
		DisableCompression:     true, // what is read is bounded as it came
		ForceAttemptHTTP2:      true,
	}
}

// Do sends a request, follows redirects to hosts that are granted too, and
// returns the answer with its whole body. It takes at most the Timeout of
// Options, or until ctx ends.
func (c *Client) Do(ctx context.Context, r Request) (*Response, error) {
	ctx, cancel := context.WithTimeout(ctx, c.o.Timeout)
	defer cancel()
	req, err := r.build(ctx, c.o.UserAgent)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.failure(ctx, req, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return nil, fmt.Errorf("%s: %w: it switched protocols unasked", req.URL.Hostname(), abi.ErrIO)
	}
	body, err := readBody(resp, r.maxBody())
	if err != nil {
		return nil, c.failure(ctx, req, err)
	}
	return &Response{Status: resp.StatusCode, Header: resp.Header, Body: body}, nil
}

func (r *Request) maxBody() int64 {
	if r.MaxBody <= 0 || r.MaxBody > maxBody {
		return maxBody
	}
	return r.MaxBody
}

func readBody(resp *http.Response, most int64) ([]byte, error) {
	tooLong := fmt.Errorf("%w: the answer is longer than %d octets", abi.ErrLimit, most)
	if resp.ContentLength > most && resp.Request.Method != http.MethodHead {
		return nil, tooLong
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, most+1))
	if err == nil && int64(len(body)) > most {
		return nil, tooLong
	}
	return body, err
}

// failure gives an error its number and takes the URL out of it.
func (c *Client) failure(ctx context.Context, req *http.Request, err error) error {
	host := req.URL.Hostname()
	var u *url.Error
	for errors.As(err, &u) {
		err = u.Err
	}
	var e abi.Errno
	var t interface{ Timeout() bool }
	switch {
	case errors.As(err, &e):
		return fmt.Errorf("%s: %w", host, err)
	case ctx.Err() != nil, errors.As(err, &t) && t.Timeout():
		return fmt.Errorf("%s: %w: %w", host, abi.ErrTimeout, err)
	}
	return fmt.Errorf("%s: %w: %w", host, abi.ErrIO, err)
}

// Close takes no more requests, sends those that are queued, and closes the
// connections. When ctx ends it gives up on what is left. Do must not be called
// any more.
func (c *Client) Close(ctx context.Context) {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	stop := context.AfterFunc(ctx, c.cancel)
	c.work.Wait()
	stop()
	c.cancel()
	c.public.CloseIdleConnections()
	c.inside.CloseIdleConnections()
}
