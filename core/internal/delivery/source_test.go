// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
)

// The log has a sick source once, and once that it is healthy again; meanwhile its
// lines wait in memory no more than others, and are given back at a stop.
func TestSickSourceIsLoggedOnce(t *testing.T) {
	var out bytes.Buffer
	r := newRig(t, func(o *Options) { o.Logger = hclog.New(&hclog.LoggerOptions{Output: &out}) })
	r.hosts("example.org")
	addr := netip.MustParseAddr("198.51.100.1")
	r.setRoute(&Route{Name: "internet", Kind: ViaMX, Sources: []*Source{{Name: "a", Addresses: []netip.Addr{addr}}}})
	r.breaks(addr, true)
	r.queue.enqueue(r.envelope("m1", "s@example.net", "x@example.org"))
	r.idle()
	r.advance(10 * time.Minute)
	if st := r.queue.byID["m1"].State(0); st.Attempts != 0 || st.Done {
		t.Errorf("state: %+v", st)
	}
	if got := r.s.Attended([]string{"m1"}); !got["m1"] {
		t.Error("what waits for a source is not attended to")
	}
	r.breaks(addr, false)
	r.advance(time.Minute)
	if !r.holds(r.done("m1")) {
		t.Error("not delivered")
	}
	r.breaks(addr, true)
	r.advance(11 * time.Second)
	r.queue.enqueue(r.envelope("m2", "s@example.net", "x@example.org"))
	r.idle()
	for what, n := range map[string]int{"no connection can leave from a source": 2, "source is healthy again": 1} {
		if got := strings.Count(out.String(), what); got != n {
			t.Errorf("%q stands there %d times, not %d:\n%s", what, got, n, out.String())
		}
	}
}

// breaks has connections not leave from an address, or leave again.
func (r *rig) breaks(addr netip.Addr, broken bool) {
	r.net.mu.Lock()
	defer r.net.mu.Unlock()
	r.net.broken[addr] = broken
}
