// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"fmt"
	"sync"
	"time"

	"github.com/postroad-mail/postroad/core/internal/queue"
)

// watchdogEvery is how often the watchdog looks.
const watchdogEvery = time.Minute

// watchdog raises an alarm when mail is due and for a while (server.watchdog)
// nobody decides about it: it lies in the queue and is not leased, or it is leased
// and delivery has forgotten it. Neither may happen; if it does, somebody
// should know before the sender does. It runs on the clock's goroutine, apart from
// the owner of delivery, which it watches.
type watchdog struct {
	r *Relay

	mu    sync.Mutex
	stop  func() bool
	ended bool
	last  time.Time // when it looked
	since time.Time // what was due before counts from here: the start, or a jump of the clock
	read  int       // messages that were read from the queue after the start
	text  string    // of the alarm; empty: all is well
}

// start begins to watch.
func (w *watchdog) start() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last = w.r.clock.Now()
	w.since = w.last
	w.arm()
}

func (w *watchdog) arm() {
	if !w.ended {
		w.stop = w.r.clock.AfterFunc(watchdogEvery, w.look)
	}
}

// end stops it.
func (w *watchdog) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = true
	if w.stop != nil {
		w.stop()
	}
}

// alarm returns what is wrong, in a sentence; empty when nothing is.
func (w *watchdog) alarm() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text
}

// look looks once.
func (w *watchdog) look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended {
		return
	}
	defer w.arm()
	now := w.r.clock.Now()
	if passed := now.Sub(w.last); passed < 0 || passed > 3*watchdogEvery {
		w.since = now // the clock was set, or the machine slept: nothing is late by that
	}
	w.last = now
	if n, going := w.r.reading(); going && n != w.read {
		w.since, w.read = now, n // nor is what has just been read
	}
	patience := w.r.gen.Load().config.Server.Watchdog
	e := w.r.engine.Load()
	if e == nil || patience == 0 {
		w.tell(0, "")
		return
	}
	n, text := w.late(e, now, patience)
	w.tell(n, text)
}

// late returns how many messages are late, and one of them in words.
func (w *watchdog) late(e *engine, now time.Time, patience time.Duration) (n int, text string) {
	if now.Sub(w.since) < patience {
		return 0, ""
	}
	if id, since, ok := e.queue.OldestDue(now); ok && now.Sub(since) >= patience {
		n, text = 1, fmt.Sprintf("message %s is due since %s and nobody has taken it up", id, since.Format(time.RFC3339))
	}
	for _, l := range forgotten(e, now.Add(-patience)) {
		if n++; text == "" {
			text = fmt.Sprintf("message %s was taken up at %s and nobody knows of it", l.ID, l.Since.Format(time.RFC3339))
		}
	}
	return n, text
}

// maxLate bounds what one look counts.
const maxLate = 100_000

// forgotten returns what was leased before and is not in delivery's hands.
func forgotten(e *engine, before time.Time) (lost []queue.Leased) {
	all := e.queue.LeasedBefore(before, maxLate)
	ids := make([]string, len(all))
	for i := range all {
		ids[i] = all[i].ID
	}
	attended := e.sched.Attended(ids)
	for _, l := range all {
		if !attended[l.ID] {
			lost = append(lost, l)
		}
	}
	return lost
}

// tell sets the alarm: one line when it begins, and one when it is over.
func (w *watchdog) tell(n int, text string) {
	w.r.metrics.Stuck(n)
	switch {
	case w.text == "" && text != "":
		w.r.log.Error("mail is due and nothing decides about it", "messages", n, "first", text)
	case w.text != "" && text == "":
		w.r.log.Info("all that is due is decided about again")
	}
	w.text = text
}
