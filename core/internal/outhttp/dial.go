// SPDX-License-Identifier: Apache-2.0

package outhttp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/postroad-mail/postroad/core/internal/grant"
	"github.com/postroad-mail/postroad/sdk/abi"
)

// Bounds of a connection.
const (
	maxAddresses   = 4 // of a host that are tried
	connectTimeout = 3 * time.Second
)

// router sends each request, those of redirects too, through the transport that
// its grant opens.
type router struct{ c *Client }

// RoundTrip implements http.RoundTripper.
func (r router) RoundTrip(req *http.Request) (*http.Response, error) {
	g, _ := req.Context().Value(grantsKey{}).(grants)
	switch grant.Host(g.allow, g.wants, req.URL) {
	case grant.Outside:
		return r.c.public.RoundTrip(req)
	case grant.Anywhere:
		return r.c.inside.RoundTrip(req)
	}
	return nil, fmt.Errorf("%w: %s is not granted", abi.ErrDenied, req.URL.Hostname())
}

// dial looks the host up and connects to the first address that answers. The
// address that was judged is the one that is dialled: a name that changes
// meanwhile changes nothing.
func (c *Client) dial(ctx context.Context, r grant.Reach, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	ips, err := c.o.Resolver.LookupIP(ctx, host)
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, ip := range ips[:min(len(ips), maxAddresses)] {
		if !c.reachable(ip, r) {
			errs = append(errs, fmt.Errorf("%w: %s is inside and its host not granted by name", abi.ErrDenied, ip))
			continue
		}
		conn, err := c.connect(ctx, network, net.JoinHostPort(ip.String(), port))
		if err == nil {
			return conn, nil
		}
		errs = append(errs, err)
	}
	if len(errs) == 0 {
		return nil, fmt.Errorf("%w: %s has no address", abi.ErrIO, host)
	}
	return nil, errors.Join(errs...)
}

func (c *Client) connect(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	return c.o.Dial(ctx, network, address)
}

// reachable tells whether a connection to ip may be made.
func (c *Client) reachable(ip netip.Addr, r grant.Reach) bool {
	ip = ip.Unmap()
	if !ip.IsValid() || ip.Zone() != "" || ip.IsUnspecified() || ip.IsMulticast() {
		return false
	}
	return r == grant.Anywhere || c.o.IsPublic(ip)
}
