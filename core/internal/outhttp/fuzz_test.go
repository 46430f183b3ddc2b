// SPDX-License-Identifier: Apache-2.0

package outhttp

import (
	"context"
	"strings"
	"testing"

	"github.com/postroad-mail/postroad/core/internal/grant"
)

// FuzzRequest builds requests from what a guest could write. One that is built
// goes to a host that was granted, in a form that net/http and we read alike.
func FuzzRequest(f *testing.F) {
	f.Add("GET", "http://api.example.org/a?b#c", "Accept: */*", "*.example.org")
	f.Add("POST", "https://[2001:db8::1]:8443/", "X-A: b", "https://[2001:DB8::1]:*")
	f.Add("", "http://a.example.org.:80", "", "a.example.org:80")
	f.Add("PUT", "HTTP://127.1/%2f", "Host: x", "*")
	f.Fuzz(func(t *testing.T, method, url, field, allow string) {
		r := Request{Method: method, URL: url, Allow: []string{allow}}
		if field != "" {
			r.Header = []string{field}
		}
		req, err := r.build(context.Background(), "Postroad")
		if err != nil {
			return
		}
		host := req.URL.Hostname()
		if !validHost(host) || host != strings.ToLower(host) || req.Host != req.URL.Host || req.URL.User != nil {
			t.Fatalf("host %q of %q, Host %q", host, url, req.Host)
		}
		reach := grant.Host(r.Allow, nil, req.URL)
		pattern := strings.HasPrefix(allow[strings.LastIndex(allow, "/")+1:], "*")
		if reach == grant.Nowhere || reach == grant.Anywhere && pattern {
			t.Fatalf("%q reaches %d by %q", host, reach, allow)
		}
		for name, values := range req.Header {
			if reserved(name) || strings.ContainsAny(strings.Join(values, ""), "\r\n\x00") {
				t.Fatalf("field %q: %q", name, values)
			}
		}
	})
}
