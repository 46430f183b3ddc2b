// SPDX-License-Identifier: Apache-2.0

package smtpin

import (
	"io"
	"strings"
	"testing"
	"time"
)

// What a client has left after waits for so many octets each, at 100 octets a
// second and a minute at most.
func TestPace(t *testing.T) {
	type wait struct {
		d time.Duration
		n int
	}
	for name, c := range map[string]struct {
		rate  int
		waits []wait
		left  time.Duration
	}{
		"nothing yet":              {100, nil, time.Minute},
		"silence":                  {100, []wait{{20 * time.Second, 0}}, 40 * time.Second},
		"one octet is 10 ms":       {100, []wait{{20 * time.Second, 1}}, 40*time.Second + 10*time.Millisecond},
		"at the rate for ever":     {100, []wait{{59 * time.Second, 5900}, {59 * time.Second, 5900}}, time.Minute},
		"half the rate":            {100, []wait{{40 * time.Second, 2000}, {40 * time.Second, 2000}, {40 * time.Second, 2000}}, 0},
		"a burst saves no time up": {100, []wait{{time.Second, 1 << 30}, {50 * time.Second, 0}}, 10 * time.Second},
		"recovery after silence":   {100, []wait{{59 * time.Second, 0}, {time.Second, 3100}}, 31 * time.Second},
		"a drop each second":       {100, []wait{{30 * time.Second, 30}, {30 * time.Second, 30}}, 600 * time.Millisecond},
		"a clock that went back":   {100, []wait{{-time.Hour, 0}}, time.Minute},
		"any rate":                 {0, []wait{{59 * time.Second, 1}, {59 * time.Second, 1}}, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPace(&Limits{DataRate: c.rate, DataTimeout: time.Minute})
			for _, w := range c.waits {
				p.waited(w.d, w.n)
			}
			if p.left != c.left {
				t.Errorf("got %v left, want %v", p.left, c.left)
			}
		})
	}
}

// A client that drips content is never silent for data_timeout, and is ended all
// the same: in DATA, in BDAT and in content that is refused.
func TestWhoDripsContentIsEnded(t *testing.T) {
	for name, begin := range map[string]string{
		"DATA":         "DATA\r\n",
		"BDAT":         "BDAT 1000000000000\r\n",
		"refused DATA": "DATA\r\n\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o, b := newObserver(), &backend{}
			_, addr := serve(t, Options{Backend: b, Observer: o, Limits: Limits{
				DataTimeout: 50 * time.Millisecond, DataRate: 1 << 40, MessageSize: 1 << 40}})
			c := dial(t, addr).hello().envelope()
			c.send(begin)
			for err := error(nil); err == nil; {
				_, err = io.WriteString(c.c, "x\r\n")
			}
			equal(t, "ended for", o.count(o.refused, "421 data_rate"), 1)
			equal(t, "messages", b.bodies(), []string(nil))
			equal(t, "closes", b.closes, 1)
		})
	}
}

// Octets that are there already cost a client no time, in however many pieces.
func TestOctetsThatAreThereCostNoTime(t *testing.T) {
	s := over([]byte(strings.Repeat("x\r\n", 1000)+".\r\n"), 1, Limits{DataTimeout: time.Hour, DataRate: 1})
	m := s.message()
	if body, err := io.ReadAll(m); err != nil || len(body) != 3000 {
		t.Fatalf("got %d octets, %v", len(body), err)
	}
	if s.pace.left != time.Hour {
		t.Errorf("%v left of an hour", s.pace.left)
	}
}

// chunked is a message in n chunks of one octet, without its last.
func chunked(n int) string { return strings.Repeat("BDAT 1\r\nx", n) }

// A message of so many chunks that carry next to nothing ends the session; fewer,
// and any number of big ones, do not.
func TestSmallChunksAreBounded(t *testing.T) {
	big := strings.Repeat("BDAT 1024\r\n"+strings.Repeat("x", 1022)+"\r\n", maxSmallChunks+2)
	for name, c := range map[string]struct {
		chunks string
		last   string // reply
		taken  int
	}{
		"as many as may be": {chunked(maxSmallChunks), "221", 1},
		"too many":          {chunked(maxSmallChunks + 2), "421", 0},
		"empty ones":        {strings.Repeat("BDAT 0\r\n", maxSmallChunks+2), "421", 0},
		"big ones":          {big, "221", 1},
		"big and small":     {big + chunked(10), "221", 1},
	} {
		t.Run(name, func(t *testing.T) {
			o, b := newObserver(), &backend{}
			out := run(t, Options{Backend: b, Observer: o, Limits: Limits{MessageSize: 8 << 20}}, open+c.chunks+"BDAT 0 LAST\r\nQUIT\r\n")
			got := codes(out)
			equal(t, "last reply", got[len(got)-3:], c.last)
			equal(t, "messages", len(b.bodies()), c.taken)
			equal(t, "ended for", o.count(o.refused, "421 chunks"), 1-c.taken)
		})
	}
}
