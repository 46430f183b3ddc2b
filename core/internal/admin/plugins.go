// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/postroad-mail/postroad/sdk/abi"
)

// Bounds of what plugins may count: their authors are strangers, and each series
// costs memory here and in every monitor.
const (
	maxPluginSeries = 100 // of one stage
	maxPluginLabels = 4   // of one series, but for the stage's
	maxPluginName   = 64  // octets of a name or a label's name
	maxPluginValue  = 64  // octets of a label's value
)

// pluginPrefix begins the name of every figure of a plugin.
const pluginPrefix = "postroad_plugin_"

// pluginMetrics are the figures that plugins make up. They live as long as the
// process, whatever is reloaded. It is a prometheus.Collector that does not say
// beforehand what it collects.
type pluginMetrics struct {
	mu     sync.Mutex
	kinds  map[string]int                          // by name: one name is one kind for all stages
	stages map[string]map[string]prometheus.Metric // by stage, then name and labels
}

func newPluginMetrics() *pluginMetrics {
	return &pluginMetrics{kinds: map[string]int{}, stages: map[string]map[string]prometheus.Metric{}}
}

// reserve keeps the name of one of the relay's own figures from plugins: two
// families of one name would fail every scrape.
func (p *pluginMetrics) reserve(name string) {
	if own, ok := strings.CutPrefix(name, pluginPrefix); ok {
		p.kinds[own] = reservedKind
	}
}

// reservedKind is no kind of a plugin.
const reservedKind = -1

// Metric counts (kind abi.MetricCounter), sets (abi.MetricGauge) or observes
// (abi.MetricHistogram) a figure of the plugin of a stage, with the name
// postroad_plugin_NAME and the label stage. Labels are names and values. It
// reports false, and does nothing, when the stage has its 100 series already,
// the name is in use as another kind, or name or labels are not well formed.
func (m *Metrics) Metric(stage string, kind int, name string, labels [][2]string, value int64) bool {
	if !validName(name) || reservedEnd(name) || !validLabels(labels) || kind == abi.MetricCounter && value < 0 {
		return false
	}
	return m.plugins.metric(stage, kind, name, labels, value)
}

func (p *pluginMetrics) metric(stage string, kind int, name string, labels [][2]string, value int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if k, known := p.kinds[name]; known && (k != kind || k == reservedKind) {
		return false
	}
	switch s := p.series(stage, kind, name, labels).(type) {
	case prometheus.Histogram:
		s.Observe(float64(value))
	case prometheus.Gauge: // before Counter, whose methods it has too
		s.Set(float64(value))
	case prometheus.Counter:
		s.Add(float64(value))
	default:
		return false
	}
	return true
}

// series returns the stage's series, a new one while there is room, or nil.
func (p *pluginMetrics) series(stage string, kind int, name string, labels [][2]string) prometheus.Metric {
	all := p.stages[stage]
	if all == nil {
		all = map[string]prometheus.Metric{}
		p.stages[stage] = all
	}
	key := seriesKey(name, labels)
	if s, ok := all[key]; ok || len(all) >= maxPluginSeries {
		return s
	}
	set := prometheus.Labels{"stage": stage}
	for _, l := range labels {
		set[l[0]] = l[1]
	}
	s := newSeries(kind, pluginPrefix+name, set)
	if s != nil {
		all[key], p.kinds[name] = s, kind
	}
	return s
}

// seriesKey is the same for labels in any order.
func seriesKey(name string, labels [][2]string) string {
	words := make([]string, len(labels))
	for i, l := range labels {
		words[i] = l[0] + "=" + l[1]
	}
	slices.Sort(words)
	return name + "\x00" + strings.Join(words, "\x00")
}

func newSeries(kind int, name string, labels prometheus.Labels) prometheus.Metric {
	const help = "A figure of plugins."
	switch kind {
	case abi.MetricCounter:
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help, ConstLabels: labels})
	case abi.MetricGauge:
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels})
	case abi.MetricHistogram:
		buckets := prometheus.ExponentialBuckets(1, 4, 16) // to 10^9, for nobody knows the unit
		return prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, ConstLabels: labels, Buckets: buckets})
	}
	return nil
}

// Describe implements prometheus.Collector: no description says that the
// figures are not known beforehand.
func (p *pluginMetrics) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (p *pluginMetrics) Collect(ch chan<- prometheus.Metric) {
	for _, s := range p.all() {
		ch <- s
	}
}

func (p *pluginMetrics) all() []prometheus.Metric {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []prometheus.Metric
	for _, series := range p.stages {
		out = slices.AppendSeq(out, maps.Values(series))
	}
	return out
}

// validName tells whether s is a name of a metric or a label: letters, digits
// and underscores, no digit first.
func validName(s string) bool {
	if s == "" || len(s) > maxPluginName || s[0] >= '0' && s[0] <= '9' {
		return false
	}
	for _, c := range []byte(s) {
		if c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return true
}

// reservedEnd tells whether a name ends like one that a histogram makes: two
// families would share a name, and the whole scrape fail.
func reservedEnd(name string) bool {
	return strings.HasSuffix(name, "_bucket") || strings.HasSuffix(name, "_count") || strings.HasSuffix(name, "_sum")
}

func validLabels(labels [][2]string) bool {
	if len(labels) > maxPluginLabels {
		return false
	}
	for i, l := range labels {
		if !validName(l[0]) || strings.HasPrefix(l[0], "__") || l[0] == "stage" || l[0] == "le" || l[0] == "quantile" ||
			len(l[1]) > maxPluginValue || !utf8.ValidString(l[1]) {
			return false
		}
		for _, other := range labels[:i] {
			if other[0] == l[0] {
				return false
			}
		}
	}
	return true
}
