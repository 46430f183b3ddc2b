// SPDX-License-Identifier: Apache-2.0

package outhttp_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/postroad-mail/postroad/core/internal/outhttp"
	"github.com/postroad-mail/postroad/sdk/abi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a network of names and public addresses that all lead to one server.
type world struct {
	t      *testing.T
	server *httptest.Server

	mu     sync.Mutex
	names  map[string][]string // addresses of a name; each lookup takes the first list of "|"
	dialed []string
}

func newWorld(t *testing.T, h http.HandlerFunc) *world {
	w := &world{t: t, server: httptest.NewServer(h), names: map[string][]string{}}
	t.Cleanup(w.server.Close)
	return w
}

func (w *world) LookupIP(_ context.Context, host string) ([]netip.Addr, error) {
	if ip, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{ip}, nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	answers := w.names[host]
	if len(answers) == 0 {
		return nil, errors.New("no such name")
	}
	if len(answers) > 1 {
		w.names[host] = answers[1:]
	}
	var ips []netip.Addr
	for _, a := range strings.Fields(answers[0]) {
		ips = append(ips, netip.MustParseAddr(a))
	}
	return ips, nil
}

func (w *world) dial(ctx context.Context, network, address string) (net.Conn, error) {
	w.mu.Lock()
	w.dialed = append(w.dialed, address)
	w.mu.Unlock()
	return new(net.Dialer).DialContext(ctx, network, w.server.Listener.Addr().String())
}

func public(ip netip.Addr) bool { return ip.IsGlobalUnicast() && !ip.IsPrivate() }

func (w *world) client(o outhttp.Options) *outhttp.Client {
	o.Resolver, o.IsPublic, o.UserAgent = w, public, "Postroad"
	if o.Dial == nil {
		o.Dial = w.dial
	}
	c := outhttp.New(o)
	w.t.Cleanup(func() { c.Close(context.Background()) })
	return c
}

func number(err error) abi.Errno {
	var e abi.Errno
	errors.As(err, &e)
	return e
}

func TestRequestAndAnswer(t *testing.T) {
	w := newWorld(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Seen", r.Header.Get("X-A")+"|"+r.UserAgent()+"|"+r.Host+"|"+r.Header.Get("Cookie"))
		w.Header().Set("Set-Cookie", "a=b")
		w.WriteHeader(http.StatusTeapot)
		fmt.Fprintf(w, "%s %s %s", r.Method, r.URL, body)
	})
	w.names["api.example.org"] = []string{"198.51.100.1"}
	c := w.client(outhttp.Options{})
	for range 2 {
		resp, err := c.Do(context.Background(), outhttp.Request{
			Method: "POST", URL: "http://API.example.org./path?q=1", Header: []string{"X-A: one"}, Body: []byte("text"), Allow: []string{"api.example.org"},
		})
		if err != nil {
			t.Fatal(err)
		}
		if resp.Status != 418 || string(resp.Body) != "POST /path?q=1 text" || resp.Header.Get("X-Seen") != "one|Postroad|api.example.org|" {
			t.Errorf("%d %q %v", resp.Status, resp.Body, resp.Header)
		}
	}
	if len(w.dialed) != 1 || w.dialed[0] != "198.51.100.1:80" {
		t.Errorf("dialed %v; the second request should use the first one's connection", w.dialed)
	}
	resp, err := c.Do(context.Background(), outhttp.Request{
		URL: "http://api.example.org/", Header: []string{"user-agent: mine"}, Allow: []string{"api.example.org"},
	})
	if err != nil || resp.Header.Get("X-Seen") != "|mine|api.example.org|" || string(resp.Body) != "GET / " {
		t.Errorf("%+v, %v", resp, err)
	}
}

// TestReach is the table of who may reach what: whatever a name, a pattern or an
// address in disguise tries, an inner address needs a grant of its host by name.
func TestReach(t *testing.T) {
	w := newWorld(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") })
	for name, ip := range map[string]string{
		"out.example.org": "198.51.100.1", "in.example.org": "10.0.0.1", "loop.example.org": "127.0.0.1", "six.example.org": "::1",
		"link.example.org": "169.254.169.254", "mapped.example.org": "::ffff:127.0.0.1", "zero.example.org": "0.0.0.0",
		"multi.example.org": "224.0.0.1", "mixed.example.org": "10.0.0.1 198.51.100.1", "localhost": "127.0.0.1",
		"example.org": "198.51.100.2", "notexample.org": "198.51.100.3",
	} {
		w.names[name] = []string{ip}
	}
	for _, c := range []struct {
		url   string
		allow string
		want  abi.Errno
	}{
		{"http://out.example.org/", "out.example.org", 0},
		{"http://out.example.org/", "*.example.org", 0},
		{"http://out.example.org/", "*", 0},
		{"http://OUT.example.org.:80/", "Out.Example.Org", 0},
		{"http://out.example.org/", "http://out.example.org", 0},
		{"http://out.example.org/", "https://out.example.org", abi.ErrDenied},
		{"http://out.example.org:8080/", "out.example.org", abi.ErrDenied},
		{"http://out.example.org:8080/", "out.example.org:8080", 0},
		{"http://out.example.org:8080/", "out.example.org:*", 0},
		{"http://out.example.org:443/", "out.example.org", abi.ErrDenied},
		{"http://out.example.org/", "other.example.org", abi.ErrDenied},
		{"http://out.example.org/", "", abi.ErrDenied},
		{"http://example.org/", "*.example.org", abi.ErrDenied},
		{"http://notexample.org/", "*.example.org", abi.ErrDenied},
		{"http://out.example.org@in.example.org/", "*", abi.ErrBadArgument},
		{"http://in.example.org/", "*", abi.ErrDenied},
		{"http://in.example.org/", "*.example.org", abi.ErrDenied},
		{"http://in.example.org/", "in.example.org", 0},
		{"http://in.example.org/", "* in.example.org", 0},
		{"http://loop.example.org/", "*.example.org", abi.ErrDenied},
		{"http://six.example.org/", "*.example.org", abi.ErrDenied},
		{"http://link.example.org/", "*.example.org", abi.ErrDenied},
		{"http://mapped.example.org/", "*.example.org", abi.ErrDenied},
		{"http://mapped.example.org/", "mapped.example.org", 0},
		{"http://zero.example.org/", "zero.example.org", abi.ErrDenied},
		{"http://multi.example.org/", "multi.example.org", abi.ErrDenied},
		{"http://mixed.example.org/", "*", 0},
		{"http://localhost/", "*", abi.ErrDenied},
		{"http://localhost/", "localhost", 0},
		{"http://127.0.0.1/", "*", abi.ErrDenied},
		{"http://127.0.0.1/", "127.0.0.1", 0},
		{"http://127.0.0.1:8/", "127.0.0.1:8", 0},
		{"http://[::1]/", "*", abi.ErrDenied},
		{"http://[::1]/", "[::1]", 0},
		{"http://[0:0::1]:81/", "[::1]:81", 0},
		{"http://[::ffff:127.0.0.1]/", "*", abi.ErrDenied},
		{"http://[fe80::1%25eth0]/", "*", abi.ErrBadArgument},
		{"http://2130706433/", "*", abi.ErrIO},
		{"http://0x7f.1/", "*", abi.ErrIO},
		{"http://127.1/", "*", abi.ErrIO},
		{"http://198.51.100.1/", "*", 0},
		{"http://[198.51.100.1]/", "*", abi.ErrBadArgument},
		{"http://nowhere.example.org/", "*", abi.ErrIO},
		{"ftp://out.example.org/", "*", abi.ErrBadArgument},
		{"file:///etc/passwd", "*", abi.ErrBadArgument},
		{"//out.example.org/", "*", abi.ErrBadArgument},
		{"http:///path", "*", abi.ErrBadArgument},
		{"http:out.example.org", "*", abi.ErrBadArgument},
		{"http://out.example.org:0/", "*:*", abi.ErrBadArgument},
		{"http://out.example.org:65536/", "*:*", abi.ErrBadArgument},
		{"http://out.example.org:/", "*", abi.ErrBadArgument},
		{"http://bücher.example/", "*", abi.ErrBadArgument},
		{"http://out.example.org/\r\nX: y", "*", abi.ErrBadArgument},
		{"http://out.exa mple.org/", "*", abi.ErrBadArgument},
		{"http://out.example.org/" + strings.Repeat("x", 9000), "*", abi.ErrBadArgument},
	} {
		client := w.client(outhttp.Options{}) // of its own: no connection is there yet
		_, err := client.Do(context.Background(), outhttp.Request{URL: c.url, Allow: strings.Fields(c.allow)})
		if number(err) != c.want || err == nil && c.want != 0 {
			t.Errorf("%.60s with %q: %v, want %v", c.url, c.allow, err, c.want)
		}
	}
}

func TestManifestNarrowsTheGrant(t *testing.T) {
	w := newWorld(t, func(http.ResponseWriter, *http.Request) {})
	w.names["in.example.org"], w.names["out.example.org"] = []string{"10.0.0.1"}, []string{"198.51.100.1"}
	c := w.client(outhttp.Options{})
	for _, k := range []struct {
		url         string
		allow, want []string
		err         abi.Errno
	}{
		{"http://out.example.org/", []string{"*"}, []string{"out.example.org"}, 0},
		{"http://out.example.org/", []string{"*"}, []string{}, abi.ErrDenied},
		{"http://out.example.org/", []string{"*"}, []string{"in.example.org"}, abi.ErrDenied},
		{"http://in.example.org/", []string{"*"}, []string{"in.example.org"}, abi.ErrDenied}, // the operator did not name it
		{"http://in.example.org/", []string{"in.example.org"}, []string{"*"}, 0},
	} {
		_, err := c.Do(context.Background(), outhttp.Request{URL: k.url, Allow: k.allow, Wants: k.want})
		if number(err) != k.err || err == nil && k.err != 0 {
			t.Errorf("%s, allow %q, wants %q: %v", k.url, k.allow, k.want, err)
		}
	}
}

// TestConnectionsKeepTheirReach: a connection to an inner address, made for a
// stage that has its host by name, is not there for one that has a pattern.
func TestConnectionsKeepTheirReach(t *testing.T) {
	w := newWorld(t, func(http.ResponseWriter, *http.Request) {})
	w.names["in.example.org"] = []string{"10.0.0.1"}
	c := w.client(outhttp.Options{})
	r := outhttp.Request{URL: "http://in.example.org/", Allow: []string{"in.example.org"}}
	if _, err := c.Do(context.Background(), r); err != nil {
		t.Fatal(err)
	}
	r.Allow = []string{"*.example.org"}
	if _, err := c.Do(context.Background(), r); number(err) != abi.ErrDenied {
		t.Errorf("by pattern: %v", err)
	}
}

// TestRebinding: a name that shows a public address first and an inner one later.
func TestRebinding(t *testing.T) {
	w := newWorld(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Connection", "close") })
	w.names["evil.example.org"] = []string{"198.51.100.1", "127.0.0.1"}
	c := w.client(outhttp.Options{})
	r := outhttp.Request{URL: "http://evil.example.org/", Allow: []string{"*"}}
	if _, err := c.Do(context.Background(), r); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Do(context.Background(), r); number(err) != abi.ErrDenied {
		t.Errorf("second time: %v", err)
	}
	if len(w.dialed) != 1 || w.dialed[0] != "198.51.100.1:80" {
		t.Errorf("dialed %v", w.dialed)
	}
}

func TestRefusedRequests(t *testing.T) {
	w := newWorld(t, func(http.ResponseWriter, *http.Request) {})
	w.names["a.test"] = []string{"198.51.100.1"}
	c := w.client(outhttp.Options{})
	many := make([]string, 65)
	for i := range many {
		many[i] = "A: b"
	}
	for name, k := range map[string]struct {
		r    outhttp.Request
		want abi.Errno
	}{
		"CONNECT":     {outhttp.Request{Method: "CONNECT"}, abi.ErrBadArgument},
		"TRACE":       {outhttp.Request{Method: "TRACE"}, abi.ErrBadArgument},
		"method":      {outhttp.Request{Method: "GET / HTTP/1.1\r\nX: y"}, abi.ErrBadArgument},
		"CRLF":        {outhttp.Request{Header: []string{"X: a\r\nB: c"}}, abi.ErrBadArgument},
		"LF":          {outhttp.Request{Header: []string{"X: a\nB: c"}}, abi.ErrBadArgument},
		"NUL":         {outhttp.Request{Header: []string{"X: a\x00"}}, abi.ErrBadArgument},
		"name":        {outhttp.Request{Header: []string{"X Y: a"}}, abi.ErrBadArgument},
		"space":       {outhttp.Request{Header: []string{"Host : a"}}, abi.ErrBadArgument},
		"no colon":    {outhttp.Request{Header: []string{"X"}}, abi.ErrBadArgument},
		"empty name":  {outhttp.Request{Header: []string{": a"}}, abi.ErrBadArgument},
		"Host":        {outhttp.Request{Header: []string{"hOst: b.test"}}, abi.ErrBadArgument},
		"length":      {outhttp.Request{Header: []string{"Content-Length: 5"}}, abi.ErrBadArgument},
		"chunked":     {outhttp.Request{Header: []string{"Transfer-Encoding: chunked"}}, abi.ErrBadArgument},
		"upgrade":     {outhttp.Request{Header: []string{"Upgrade: websocket"}}, abi.ErrBadArgument},
		"connection":  {outhttp.Request{Header: []string{"Connection: x"}}, abi.ErrBadArgument},
		"proxy":       {outhttp.Request{Header: []string{"Proxy-Authorization: x"}}, abi.ErrBadArgument},
		"many fields": {outhttp.Request{Header: many}, abi.ErrLimit},
		"long fields": {outhttp.Request{Header: []string{"A: " + strings.Repeat("x", 16<<10)}}, abi.ErrLimit},
		"body":        {outhttp.Request{Body: make([]byte, 1<<20+1)}, abi.ErrLimit},
	} {
		k.r.URL, k.r.Allow = "http://a.test/", []string{"*"}
		if _, err := c.Do(context.Background(), k.r); number(err) != k.want {
			t.Errorf("%s: %v, want %v", name, err, k.want)
		}
		if err := c.Queue(k.r); number(err) != k.want {
			t.Errorf("%s, queued: %v, want %v", name, err, k.want)
		}
	}
	if len(w.dialed) != 0 {
		t.Errorf("dialed %v", w.dialed)
	}
}

func TestRedirects(t *testing.T) {
	w := newWorld(t, func(w http.ResponseWriter, r *http.Request) {
		if to := r.URL.Query().Get("to"); to != "" {
			w.Header().Set("Location", to)
			w.WriteHeader(http.StatusTemporaryRedirect)
			return
		}
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s key=%s referer=%s %s", r.Host, r.URL.Path, r.Header.Get("X-Key"), r.Referer(), body)
	})
	w.names["a.test"], w.names["b.test"], w.names["in.test"] = []string{"198.51.100.1"}, []string{"198.51.100.2"}, []string{"10.0.0.1"}
	to := func(urls ...string) string {
		at := urls[len(urls)-1]
		for i := len(urls) - 2; i >= 0; i-- {
			at = urls[i] + "?to=" + url.QueryEscape(at)
		}
		return at
	}
	c := w.client(outhttp.Options{})
	for _, k := range []struct {
		name, url, want string
		err             abi.Errno
	}{
		{"same host", to("http://a.test/1", "/2"), "a.test /2 key=k referer= body", 0},
		{"three", to("http://a.test/1", "/2", "/3", "/4"), "a.test /4 key=k referer= body", 0},
		{"other host", to("http://a.test/1", "http://b.test/2"), "b.test /2 key= referer= body", 0},
		{"four", to("http://a.test/1", "/2", "/3", "/4", "/5"), "", abi.ErrLimit},
		{"not granted", to("http://a.test/1", "http://c.example/"), "", abi.ErrDenied},
		{"inside", to("http://a.test/1", "http://in.test/"), "", abi.ErrDenied},
		{"loopback", to("http://a.test/1", "http://127.0.0.1/"), "", abi.ErrDenied},
		{"scheme", to("http://a.test/1", "ftp://a.test/"), "", abi.ErrIO},
		{"user", to("http://a.test/1", "http://u@a.test/"), "", abi.ErrIO},
	} {
		resp, err := c.Do(context.Background(), outhttp.Request{
			Method: "POST", URL: k.url, Header: []string{"X-Key: k"}, Body: []byte("body"), Allow: []string{"a.test", "b.test", "*.test"},
		})
		if number(err) != k.err || err == nil && string(resp.Body) != k.want {
			t.Errorf("%s: %v, %v", k.name, resp, err)
		}
	}
	loop := newWorld(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Location", "/"); w.WriteHeader(302) })
	loop.names["a.test"] = []string{"198.51.100.1"}
	if _, err := loop.client(outhttp.Options{}).Do(context.Background(), outhttp.Request{URL: "http://a.test/", Allow: []string{"*"}}); number(err) != abi.ErrLimit {
		t.Errorf("a loop: %v", err)
	}
}

func TestAnswersAreBounded(t *testing.T) {
	w := newWorld(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/said":
			w.Header().Set("Content-Length", "1001")
			fallthrough
		case "/unsaid":
			w.Write(make([]byte, 1001))
		case "/endless":
			for {
				if _, err := w.Write(make([]byte, 4096)); err != nil {
					return
				}
			}
		case "/header":
			w.Header().Set("X", strings.Repeat("x", 100<<10))
		case "/switch":
			w.Header().Set("Connection", "upgrade")
			w.Header().Set("Upgrade", "x")
			w.WriteHeader(http.StatusSwitchingProtocols)
		default:
			w.Write(make([]byte, 1000))
		}
	})
	w.names["a.test"] = []string{"198.51.100.1"}
	c := w.client(outhttp.Options{})
	for path, want := range map[string]abi.Errno{
		"/": 0, "/said": abi.ErrLimit, "/unsaid": abi.ErrLimit, "/endless": abi.ErrLimit, "/header": abi.ErrIO, "/switch": abi.ErrIO,
	} {
		resp, err := c.Do(context.Background(), outhttp.Request{URL: "http://a.test" + path, Allow: []string{"*"}, MaxBody: 1000})
		if number(err) != want || want == 0 && len(resp.Body) != 1000 {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := c.Do(context.Background(), outhttp.Request{Method: "HEAD", URL: "http://a.test/said", Allow: []string{"*"}, MaxBody: 10}); err != nil {
		t.Errorf("HEAD: %v", err)
	}
}

func TestSlowServer(t *testing.T) {
	gone := make(chan struct{})
	w := newWorld(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/body" {
			w.Write([]byte("begin"))
			w.(http.Flusher).Flush()
		}
		select {
		case <-gone:
		case <-r.Context().Done():
		}
	})
	defer close(gone)
	w.names["a.test"] = []string{"198.51.100.1"}
	c := w.client(outhttp.Options{Timeout: 30 * time.Millisecond})
	for _, path := range []string{"/", "/body"} {
		if _, err := c.Do(context.Background(), outhttp.Request{URL: "http://a.test" + path, Allow: []string{"*"}}); number(err) != abi.ErrTimeout {
			t.Errorf("%s: %v", path, err)
		}
	}
	c = w.client(outhttp.Options{})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := c.Do(ctx, outhttp.Request{URL: "http://a.test/", Allow: []string{"*"}}); number(err) != abi.ErrTimeout {
		t.Errorf("the caller's ctx: %v", err)
	}
}

func TestHTTPS(t *testing.T) {
	w := newWorld(t, nil)
	w.server.Close()
	w.server = httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/down" {
			http.Redirect(rw, r, "http://example.com/", http.StatusFound)
			return
		}
		io.WriteString(rw, "over "+r.Proto)
	}))
	t.Cleanup(w.server.Close)
	w.names["example.com"], w.names["other.test"] = []string{"198.51.100.1"}, []string{"198.51.100.1"}
	w.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	pool := x509.NewCertPool()
	pool.AddCert(w.server.Certificate())
	allow := []string{"*", "http://example.com"}
	c := w.client(outhttp.Options{RootCAs: pool})
	resp, err := c.Do(context.Background(), outhttp.Request{URL: "https://example.com/", Allow: allow})
	if err != nil || !strings.HasPrefix(string(resp.Body), "over HTTP/") {
		t.Fatalf("%v, %v", resp, err)
	}
	if w.dialed[0] != "198.51.100.1:443" {
		t.Errorf("dialed %v", w.dialed)
	}
	if _, err := c.Do(context.Background(), outhttp.Request{URL: "https://example.com/down", Allow: allow}); number(err) != abi.ErrDenied {
		t.Errorf("from https to http: %v", err)
	}
	if _, err := c.Do(context.Background(), outhttp.Request{URL: "https://other.test/", Allow: allow}); number(err) != abi.ErrIO {
		t.Errorf("another name's certificate: %v", err)
	}
	if _, err := w.client(outhttp.Options{}).Do(context.Background(), outhttp.Request{URL: "https://example.com/", Allow: allow}); number(err) != abi.ErrIO {
		t.Errorf("an unknown CA: %v", err)
	}
}

func TestErrorsDoNotTellTheURL(t *testing.T) {
	w := newWorld(t, func(http.ResponseWriter, *http.Request) {})
	_, err := w.client(outhttp.Options{}).Do(context.Background(), outhttp.Request{URL: "http://a.test/?key=secret", Allow: []string{"*"}})
	if err == nil || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "a.test") {
		t.Errorf("%v", err)
	}
}

// TestNoProxyOfTheEnvironment: the environment must not turn requests around.
func TestNoProxyOfTheEnvironment(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	w := newWorld(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.RequestURI) })
	w.names["a.test"] = []string{"198.51.100.1"}
	resp, err := w.client(outhttp.Options{}).Do(context.Background(), outhttp.Request{URL: "http://a.test/x", Allow: []string{"*"}})
	if err != nil || string(resp.Body) != "/x" {
		t.Errorf("%v, %v", resp, err)
	}
}
