// SPDX-License-Identifier: Apache-2.0

package hostile

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postroad-mail/postroad/core/internal/testkit"
	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/core/relay"
)

// rig is a whole relay in memory, with its next hop, its log, a resolver that
// knows nobody, and a web server that never answers.
type rig struct {
	t     *testing.T
	r     *relay.Relay
	clock *relay.FakeClock
	sink  *testkit.Sink
	log   *noise
	dir   string
	web   string // host:port of the web server
	asked atomic.Int64
	cert  *testkit.Cert
	book  ledger
}

// newRig starts a relay without a hostile plugin. It ends with the test.
func newRig(t *testing.T) *rig {
	t.Helper()
	g := &rig{
		t: t, dir: t.TempDir(), log: &noise{}, clock: relay.NewFakeClock(time.Date(2030, 1, 1, 9, 0, 0, 0, time.UTC)),
		sink: testkit.NewSink(t, testkit.SinkOptions{}), cert: testkit.NewCert(t, "relay.test"),
	}
	g.web = g.silence()
	g.sink.SetScript(testkit.RefuseRcpt("refused", "550 5.1.1 there is nobody"))
	g.cert.Write(t, g.dir)
	g.write(calmConfig)
	var err error
	if g.r, err = relay.Open(context.Background(), relay.Options{
		ConfigFile: g.file("test.hcl"), InMemory: true, DataDir: g.dir, LogOutput: g.log, Clock: g.clock, Resolver: nowhere{}, Env: g.env,
	}); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- g.r.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the relay ended with %v", err)
		}
	})
	return g
}

// env is the environment of the configuration. The secret names the web server.
func (g *rig) env(name string) (string, bool) {
	switch name {
	case "SINK":
		return g.sink.Addr().String(), true
	case "POSTROAD_SECRET_URL":
		return "http://" + g.web + "/", true
	}
	return "", false
}

// silence is a web server that takes requests and says nothing.
func (g *rig) silence() string {
	over := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		g.asked.Add(1)
		select {
		case <-r.Context().Done():
		case <-over:
		}
	}))
	g.t.Cleanup(func() { close(over); s.Close() })
	return strings.TrimPrefix(s.URL, "http://")
}

// nowhere is DNS that knows no name, and does not answer for one of them before
// its caller has had enough.
type nowhere struct{}

const mute = "never.test"

// LookupMX implements relay.Resolver.
func (nowhere) LookupMX(ctx context.Context, name string) ([]relay.MX, error) {
	return nil, silent(ctx, name)
}

// LookupIP implements relay.Resolver.
func (nowhere) LookupIP(ctx context.Context, name string) ([]netip.Addr, error) {
	if ip, err := netip.ParseAddr(name); err == nil {
		return []netip.Addr{ip}, nil
	}
	return nil, silent(ctx, name)
}

func silent(ctx context.Context, name string) error {
	if name != mute {
		return relay.ErrNoDomain
	}
	<-ctx.Done()
	return ctx.Err()
}

func (g *rig) file(name string) string { return filepath.Join(g.dir, name) }

func (g *rig) write(config string) {
	g.t.Helper()
	if err := os.WriteFile(g.file("test.hcl"), []byte(config), 0o600); err != nil {
		g.t.Fatal(err)
	}
}

// reload takes a configuration with a module, which the hostile plugin is.
func (g *rig) reload(config string, wasm []byte) error {
	g.t.Helper()
	if err := os.WriteFile(g.file("hostile.wasm"), wasm, 0o600); err != nil {
		g.t.Fatal(err)
	}
	g.write(config)
	return g.r.Reload(context.Background())
}

// figure reads a figure with these labels from the admin listener; 0 when it is
// not there.
func (g *rig) figure(name string) int {
	g.t.Helper()
	for _, m := range g.figures(regexp.QuoteMeta(name)) {
		return m
	}
	return 0
}

// figures reads all figures that match, by their labels.
func (g *rig) figures(pattern string) map[string]int {
	g.t.Helper()
	res, err := http.Get("http://" + g.r.Info().Admin + "/metrics")
	if err != nil {
		g.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	found := map[string]int{}
	for _, m := range regexp.MustCompile(`(?m)^(`+pattern+`) (\d+)$`).FindAllSubmatch(b, -1) {
		n, _ := strconv.Atoi(string(m[2]))
		found[string(m[1])] = n
	}
	return found
}

// failures tells how often each stage failed, by cause.
func (g *rig) failures() map[string]int {
	out := map[string]int{}
	for labels, n := range g.figures(`postroad_plugin_failures_total\{[^}]*\}`) {
		m := regexp.MustCompile(`cause="(\w+)",stage="(\w+)"`).FindStringSubmatch(labels)
		out[m[2]+" "+m[1]] = n
	}
	return out
}

// noise is a log that is looked at and not kept.
type noise struct {
	mu     sync.Mutex
	panics []string
	broken int // writes that are more than one line
	floods int // lines of a flood
	last   []byte
	failed string // the last line about a stage that failed
}

const flood = "a line of a log that nobody wants to read"

// Write implements io.Writer.
func (n *noise) Write(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if bytes.Contains(p, []byte("panic")) && len(n.panics) < 10 {
		n.panics = append(n.panics, string(p))
	}
	if bytes.Count(p, []byte("\n")) != 1 && !bytes.Contains(p, []byte("panic")) {
		n.broken++
		n.last = append(n.last[:0], p...)
	}
	if bytes.Contains(p, []byte("stage failed")) {
		n.failed = string(p)
	}
	if bytes.Contains(p, []byte(flood)) {
		n.floods++
	}
	return len(p), nil
}

// well checks that the relay is, and that the log is what it should be.
func (g *rig) well() {
	g.t.Helper()
	if err := g.r.Healthy(); err != nil {
		g.t.Error(err)
	}
	if n := g.figures(`postroad_faults_total\{[^}]*\}`); len(n) > 0 {
		g.t.Errorf("faults of ours: %v", n)
	}
	g.log.mu.Lock()
	defer g.log.mu.Unlock()
	if len(g.log.panics) > 0 {
		g.t.Errorf("something panicked: %s", g.log.panics[0])
	}
	if g.log.broken > 0 {
		g.t.Errorf("%d lines of the log have line ends in them: %q", g.log.broken, g.log.last)
	}
}

// ledger knows what was acknowledged: by token, and whether it was an attack.
type ledger struct {
	mu    sync.Mutex
	next  int
	taken map[string]bool
}

func (l *ledger) token() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next++
	return fmt.Sprintf("token-%06d", l.next)
}

func (l *ledger) take(token string, attack bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.taken == nil {
		l.taken = map[string]bool{}
	}
	l.taken[token] = attack
}

// settled checks that each acknowledged message has arrived once, or is in the
// queue where the attack was on the way out, and that nothing else has arrived.
func (g *rig) settled(a attack) {
	g.t.Helper()
	if err := g.r.Idle(g.t.Context()); err != nil {
		g.t.Fatal(err)
	}
	kept := a.faults() && (a.phase == mail.PhaseRoute || a.phase == mail.PhasePredeliver)
	waiting, bounced, emitted := 0, 0, 0
	seen := map[string]int{}
	for _, m := range g.sink.Messages() {
		g.clean(m, a)
		token := regexp.MustCompile(`token-\d+`).Find(m.Content)
		switch {
		case m.From == nobody:
			bounced++
		case token == nil:
			emitted++
		default:
			seen[string(token)]++
		}
	}
	for token, attack := range g.book.taken {
		switch n := seen[token]; {
		case n == 1 && !(attack && kept):
		case n == 0 && attack && kept:
			waiting++
		case n == 0 && attack && a.phase == mail.PhaseBounce:
			bounced--
		default:
			g.t.Errorf("message %s, which was acknowledged, has arrived %d times (attack: %v)", token, n, attack)
		}
		delete(seen, token)
	}
	queue, err := g.r.Queue(context.Background(), 0)
	if err != nil || len(queue) != waiting || len(seen) > 0 || bounced != 0 || emitted > 0 && a.outcome != limit {
		g.t.Errorf("%d in the queue, want %d; not acknowledged but arrived: %v; %d reports too many or few; %d messages of the plugin's own; %v",
			len(queue), waiting, seen, bounced, emitted, err)
	}
}

const nobody = "<>" // the null sender, as the sink spells it

// clean checks that nothing of an attack is in a message but in its own.
func (g *rig) clean(m testkit.Received, a attack) {
	g.t.Helper()
	envelope := m.From + " " + strings.Join(m.To, " ")
	if strings.Contains(envelope, "INJECTED") {
		g.t.Errorf("a message for %s has arrived", envelope)
	}
	header, _, _ := bytes.Cut(m.Content, []byte("\r\n\r\n"))
	for _, bad := range []string{"INJECTED", "X-Flood", "X-Early", "X-Stale", "X-Plain"} {
		if bytes.Contains(header, []byte(bad)) {
			g.t.Errorf("%s is in the header of a message from %s", bad, m.From)
		}
	}
	if own := strings.Contains(m.From, "attack"); m.From != nobody && !own && a.outcome != limit && !bytes.HasSuffix(m.Content, []byte(good)) {
		g.t.Errorf("a message from %s is not as it was: %.300q", m.From, m.Content)
	}
}

func dialTo(addr net.Addr) (net.Conn, error) {
	conn, err := net.Dial("tcp", addr.String())
	if err != nil {
		return nil, err
	}
	return conn, conn.SetDeadline(time.Now().Add(patience))
}

// patience bounds what must happen; nothing is measured with it.
const patience = 2 * time.Minute
