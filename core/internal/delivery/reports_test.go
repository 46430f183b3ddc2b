// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// A list whose recipients expire at one moment brings its sender one report, not
// one for each of them.
func TestAListThatExpiresIsReportedOnce(t *testing.T) {
	r := newRig(t, nil)
	r.setRoute(&Route{Name: "internet", Kind: ViaMX, Schedule: Schedule{Retry: []time.Duration{time.Hour}, Expire: 90 * time.Minute}})
	var to []string
	for i := range 300 {
		to = append(to, fmt.Sprintf("r%d@d%d.example", i, i%7))
	}
	r.queue.enqueue(r.envelope("list", "s@example.net", to...))
	r.idle()
	r.advance(2 * time.Hour)
	events := r.events()
	if n := strings.Count(events, "list: report to"); n != 1 || strings.Count(events, "delivery time expired") != 300 {
		t.Errorf("%d reports", n)
	}
}
