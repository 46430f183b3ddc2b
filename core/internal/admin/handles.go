// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"maps"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/postroad-mail/postroad/core/mail"
)

// handles keep the figures that every message touches by what they are labelled
// with, so that their labels are not hashed and compared each time. Labels are
// names of the configuration, so there are few. Reading takes no lock.
type handles[K comparable, V any] struct {
	make func(K) V

	mu    sync.Mutex // of those that add one
	known atomic.Pointer[map[K]V]
}

func newHandles[K comparable, V any](make func(K) V) *handles[K, V] {
	h := &handles[K, V]{make: make}
	h.known.Store(&map[K]V{})
	return h
}

func (h *handles[K, V]) get(k K) V {
	if v, ok := (*h.known.Load())[k]; ok {
		return v
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	more := maps.Clone(*h.known.Load())
	v := h.make(k)
	more[k] = v
	h.known.Store(&more)
	return v
}

// stagePhase and stageVerdict label what a stage did.
type stagePhase struct {
	stage string
	phase mail.Phase
}

type stageVerdict struct {
	stagePhase
	verdict mail.Verdict
}

// acceptFigures are those of a listener, pluginFigures those of a stage.
type acceptFigures struct {
	messages prometheus.Counter
	took     prometheus.Observer
}

type pluginFigures struct {
	fuel   prometheus.Counter
	memory prometheus.Gauge
}

// outcomeLabels label what became of a recipient.
type outcomeLabels struct{ route, state string }

// often are the handles of what every message touches.
type often struct {
	accepts  *handles[string, acceptFigures]
	times    *handles[stagePhase, prometheus.Observer]
	verdicts *handles[stageVerdict, prometheus.Counter]
	plugins  *handles[string, pluginFigures]
	outcomes *handles[outcomeLabels, prometheus.Counter]
	attempts *handles[string, prometheus.Counter]
}

func (m *Metrics) newOften() often {
	return often{
		accepts: newHandles(func(listener string) acceptFigures {
			return acceptFigures{m.accepted.WithLabelValues(listener), m.acceptTime.WithLabelValues(listener)}
		}),
		times: newHandles(func(k stagePhase) prometheus.Observer {
			return m.stageTime.WithLabelValues(k.stage, k.phase.String())
		}),
		verdicts: newHandles(func(k stageVerdict) prometheus.Counter {
			return m.verdicts.WithLabelValues(k.stage, k.phase.String(), k.verdict.String())
		}),
		plugins: newHandles(func(stage string) pluginFigures {
			return pluginFigures{m.fuel.WithLabelValues(stage), m.memory.WithLabelValues(stage)}
		}),
		outcomes: newHandles(func(k outcomeLabels) prometheus.Counter { return m.outcomes.WithLabelValues(k.route, k.state) }),
		attempts: newHandles(func(route string) prometheus.Counter { return m.attempts.WithLabelValues(route) }),
	}
}
