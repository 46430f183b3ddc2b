// SPDX-License-Identifier: Apache-2.0

package outhttp_test

import (
	"context"
	"io"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/postroad-mail/postroad/core/internal/outhttp"
	"github.com/postroad-mail/postroad/sdk/abi"
)

func TestQueueSendsBeforeItCloses(t *testing.T) {
	var got atomic.Int64
	w := newWorld(t, func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got.Add(int64(len(b)))
	})
	w.names["a.test"] = []string{"198.51.100.1"}
	c := w.client(outhttp.Options{})
	r := outhttp.Request{Stage: "s", Method: "POST", URL: "http://a.test/", Body: []byte("x"), Allow: []string{"*"}}
	for range 100 {
		if err := c.Queue(r); err != nil {
			t.Fatal(err)
		}
	}
	c.Close(context.Background())
	if n := got.Load(); n != 100 {
		t.Errorf("%d of 100 were sent", n)
	}
	if err := c.Queue(r); number(err) != abi.ErrLimit {
		t.Errorf("after Close: %v", err)
	}
}

// TestLinesAreBounded: one stage's slow host fills its own line, not another's.
func TestLinesAreBounded(t *testing.T) {
	var under, most atomic.Int64
	started, release := make(chan struct{}, 1000), make(chan struct{})
	var quick atomic.Int64
	w := newWorld(t, func(_ http.ResponseWriter, r *http.Request) {
		if r.Host == "quick.test" {
			quick.Add(1)
			started <- struct{}{}
			return
		}
		most.Store(max(most.Load(), under.Add(1)))
		started <- struct{}{}
		<-release
		under.Add(-1)
	})
	w.names["slow.test"], w.names["quick.test"] = []string{"198.51.100.1"}, []string{"198.51.100.2"}
	c := w.client(outhttp.Options{})
	slow := outhttp.Request{Stage: "slow", URL: "http://slow.test/", Allow: []string{"*"}}
	for range 4 {
		if err := c.Queue(slow); err != nil {
			t.Fatal(err)
		}
	}
	for range 4 {
		<-started
	}
	for i := range 256 {
		if err := c.Queue(slow); err != nil {
			t.Fatalf("%d: %v", i, err)
		}
	}
	if err := c.Check(slow); number(err) != abi.ErrLimit {
		t.Errorf("Check of a full line: %v", err)
	}
	if err := c.Queue(slow); number(err) != abi.ErrLimit {
		t.Errorf("a full line: %v", err)
	}
	other := outhttp.Request{Stage: "quick", URL: "http://quick.test/", Allow: []string{"*"}}
	if err := c.Queue(other); err != nil {
		t.Fatal(err)
	}
	<-started
	close(release)
	c.Close(context.Background())
	if most.Load() != 4 || quick.Load() != 1 {
		t.Errorf("%d at once, %d of the other stage", most.Load(), quick.Load())
	}
}

func TestLineIsBoundedByOctets(t *testing.T) {
	release := make(chan struct{})
	w := newWorld(t, func(http.ResponseWriter, *http.Request) { <-release })
	w.names["a.test"] = []string{"198.51.100.1"}
	c := w.client(outhttp.Options{})
	r := outhttp.Request{Stage: "s", Method: "PUT", URL: "http://a.test/", Body: make([]byte, 1<<20), Allow: []string{"*"}}
	taken := 0
	for taken < 100 && c.Queue(r) == nil {
		taken++
	}
	if taken < 8 || taken > 12 { // eight wait, and up to four are on their way
		t.Errorf("%d MiB were taken", taken)
	}
	close(release)
}

func TestCloseGivesUpWithItsContext(t *testing.T) {
	started := make(chan struct{})
	w := newWorld(t, func(_ http.ResponseWriter, r *http.Request) {
		close(started)
		<-r.Context().Done()
	})
	w.names["a.test"] = []string{"198.51.100.1"}
	c := w.client(outhttp.Options{})
	if err := c.Queue(outhttp.Request{URL: "http://a.test/", Allow: []string{"*"}}); err != nil {
		t.Fatal(err)
	}
	<-started
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	c.Close(ctx) // would not return
}
