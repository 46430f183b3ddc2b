// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/postroad-mail/postroad/core/mail"
)

// Metrics are the relay's figures. The rooms of the relay call its methods
// through the observers that they declare. It is safe for use by many
// goroutines.
type Metrics struct {
	stuck       prometheus.Gauge
	reg         *prometheus.Registry
	accepted    *prometheus.CounterVec
	refused     *prometheus.CounterVec
	connections *prometheus.CounterVec
	logins      *prometheus.CounterVec
	certificate *prometheus.GaugeVec
	unreadable  *prometheus.GaugeVec
	issued      *prometheus.GaugeVec
	unissued    *prometheus.CounterVec
	open        *prometheus.GaugeVec
	acceptTime  *prometheus.HistogramVec
	verdicts    *prometheus.CounterVec
	stageTime   *prometheus.HistogramVec
	failures    *prometheus.CounterVec
	broken      *prometheus.GaugeVec
	outcomes    *prometheus.CounterVec
	attempts    *prometheus.CounterVec
	faults      *prometheus.CounterVec
	candidates  *prometheus.CounterVec
	fuel        *prometheus.CounterVec
	instances   *prometheus.GaugeVec
	memory      *prometheus.GaugeVec
	plugins     *pluginMetrics
	often       often
}

// latency buckets: from 50 µs to 10 s.
var latency = []float64{.00005, .0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}

// NewMetrics returns figures at zero, with those of the Go runtime and the
// process.
func NewMetrics() *Metrics {
	m := &Metrics{reg: prometheus.NewRegistry(), plugins: newPluginMetrics()}
	m.accepted = m.counter("postroad_messages_accepted_total", "Messages answered with 250 after the sync.", "listener")
	m.refused = m.counter("postroad_refused_total", "Commands and messages refused, by reason.", "listener", "reason")
	m.connections = m.counter("postroad_connections_total", "Connections accepted.", "listener")
	m.logins = m.counter("postroad_logins_total", "Logins by AUTH, by result: ok, denied, refused by a stage, fault.", "listener", "mechanism", "result")
	m.certificate = m.gauge("postroad_certificate_ends_seconds", "When the first of a listener's certificates ends, in Unix time.", "listener")
	m.unreadable = m.gauge("postroad_certificate_faulty", "1 while the files of a listener's certificates cannot be used, and those of before are.", "listener")
	m.issued = m.gauge("postroad_acme_certificate_ends_seconds", "When the certificate that acme issued for a name ends, in Unix time.", "name")
	m.unissued = m.counter("postroad_acme_failures_total", "Attempts to get or renew a certificate by acme that failed.", "name")
	m.open = m.gauge("postroad_connections_open", "Connections open now.", "listener")
	m.acceptTime = m.histogram("postroad_accept_seconds", "Time from the end of data to the 250: stages, queue and sync.", "listener")
	m.verdicts = m.counter("postroad_stage_verdicts_total", "Verdicts of stages.", "stage", "phase", "verdict")
	m.stageTime = m.histogram("postroad_stage_seconds", "Time that a call of a stage took.", "stage", "phase")
	m.failures = m.counter("postroad_plugin_failures_total", "Calls of stages that failed, by cause.", "stage", "cause")
	m.broken = m.gauge("postroad_stage_broken", "1 while a stage is not called because it failed too often.", "stage")
	m.outcomes = m.counter("postroad_deliveries_total", "Recipients settled by an attempt, by status.", "route", "status")
	m.attempts = m.counter("postroad_delivery_attempts_total", "Delivery attempts: one transaction with one next hop.", "route")
	m.faults = m.counter("postroad_faults_total", "Faults on our side that were contained, by room.", "room")
	m.candidates = m.counter("postroad_candidate_calls_total", "Calls of stages' candidates, by result: of a shadow same or differs, of a canary called, of both failed.", "stage", "mode", "result")
	m.fuel = m.counter("postroad_plugin_fuel_total", "Units of fuel that plugins have burnt.", "stage")
	m.instances = m.gauge("postroad_plugin_instances", "Instances of plugins that live now, those of draining generations and candidates with them.", "stage")
	m.memory = m.gauge("postroad_plugin_memory_bytes", "Linear memory of the instance that was called last.", "stage")
	m.stuck = prometheus.NewGauge(prometheus.GaugeOpts{Name: "postroad_queue_stuck_messages", Help: "Messages that are due and that nothing decides about."})
	m.often = m.newOften()
	m.reg.MustRegister(m.stuck, m.plugins, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *Metrics) counter(name, help string, labels ...string) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	m.plugins.reserve(name)
	m.reg.MustRegister(c)
	return c
}

func (m *Metrics) gauge(name, help string, labels ...string) *prometheus.GaugeVec {
	c := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
	m.plugins.reserve(name)
	m.reg.MustRegister(c)
	return c
}

func (m *Metrics) histogram(name, help string, labels ...string) *prometheus.HistogramVec {
	c := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: latency}, labels)
	m.plugins.reserve(name)
	m.reg.MustRegister(c)
	return c
}

// Accepted counts a message that got its 250, took after the end of data.
func (m *Metrics) Accepted(listener string, took time.Duration) {
	f := m.often.accepts.get(listener)
	f.messages.Inc()
	f.took.Observe(took.Seconds())
}

// Refused counts a command or message that was refused.
func (m *Metrics) Refused(listener, reason string) {
	m.refused.WithLabelValues(listener, reason).Inc()
}

// ConnectionOpened counts a connection that was accepted.
func (m *Metrics) ConnectionOpened(listener string) {
	m.connections.WithLabelValues(listener).Inc()
	m.open.WithLabelValues(listener).Inc()
}

// ConnectionClosed counts the end of a connection that ConnectionOpened counted.
func (m *Metrics) ConnectionClosed(listener string) { m.open.WithLabelValues(listener).Dec() }

// StageDone counts one call of a stage; cause is empty unless it failed.
func (m *Metrics) StageDone(stage string, p mail.Phase, v mail.Verdict, took time.Duration, cause string) {
	at := stagePhase{stage, p}
	m.often.times.get(at).Observe(took.Seconds())
	if cause != "" {
		m.failures.WithLabelValues(stage, cause).Inc()
		return
	}
	m.often.verdicts.get(stageVerdict{at, v}).Inc()
}

// StageBroken tells that the breaker of a stage opened or closed.
func (m *Metrics) StageBroken(stage string, open bool) {
	v := 0.0
	if open {
		v = 1
	}
	m.broken.WithLabelValues(stage).Set(v)
}

// CandidateDone counts one call of a stage's candidate.
func (m *Metrics) CandidateDone(stage, mode, result string) {
	m.candidates.WithLabelValues(stage, mode, result).Inc()
}

// PluginCall counts what a call of a plugin has cost: fuel in units, and the
// octets of its instance's memory afterwards.
func (m *Metrics) PluginCall(stage string, fuel, memory int64) {
	f := m.often.plugins.get(stage)
	f.fuel.Add(float64(max(fuel, 0)))
	f.memory.Set(float64(memory))
}

// PluginInstances tells how many instances of a stage's plugin live.
func (m *Metrics) PluginInstances(stage string, n int) {
	m.instances.WithLabelValues(stage).Set(float64(n))
}

// Attempt counts one transaction with a next hop of route.
func (m *Metrics) Attempt(route string) { m.often.attempts.get(route).Inc() }

// Outcome counts one recipient of an attempt, or one that stages decided about
// before it: delivered, deferred, failed, held or dropped.
func (m *Metrics) Outcome(route, state string) {
	m.often.outcomes.get(outcomeLabels{route, state}).Inc()
}

// Fault counts a fault of ours that was contained, such as a recovered panic.
func (m *Metrics) Fault(room string) { m.faults.WithLabelValues(room).Inc() }

// Stuck tells how many messages are due without anything deciding about them.
func (m *Metrics) Stuck(n int) { m.stuck.Set(float64(n)) }

// QueueState is the size of one state of the queue.
type QueueState struct {
	State                string
	Messages, Recipients int
	Bytes                int64
}

// WatchQueue makes size, reading and syncs part of the figures: all are called at
// each scrape. reading says whether size is still growing as the queue is read
// after the start.
func (m *Metrics) WatchQueue(size func() []QueueState, reading func() (int, bool), syncs func() uint64) {
	m.reg.MustRegister(&queueCollector{size: size, reading: reading, syncs: syncs})
}

type queueCollector struct {
	size    func() []QueueState
	reading func() (messages int, going bool)
	syncs   func() uint64
}

func (c *queueCollector) descs() [5]*prometheus.Desc {
	state := []string{"state"}
	return [5]*prometheus.Desc{
		prometheus.NewDesc("postroad_queue_messages", "Messages in the queue, by state.", state, nil),
		prometheus.NewDesc("postroad_queue_recipients", "Recipients in the queue, by state.", state, nil),
		prometheus.NewDesc("postroad_queue_bytes", "Octets of queued messages, by state.", state, nil),
		prometheus.NewDesc("postroad_wal_syncs_total", "Syncs of the write-ahead log.", nil, nil),
		prometheus.NewDesc("postroad_queue_reading", "1 while the queue is still being read after the start: its size is that of what was read. Else 0.", nil, nil),
	}
}

// Describe implements prometheus.Collector.
func (c *queueCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range c.descs() {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *queueCollector) Collect(ch chan<- prometheus.Metric) {
	d := c.descs()
	for _, s := range c.size() {
		ch <- prometheus.MustNewConstMetric(d[0], prometheus.GaugeValue, float64(s.Messages), s.State)
		ch <- prometheus.MustNewConstMetric(d[1], prometheus.GaugeValue, float64(s.Recipients), s.State)
		ch <- prometheus.MustNewConstMetric(d[2], prometheus.GaugeValue, float64(s.Bytes), s.State)
	}
	ch <- prometheus.MustNewConstMetric(d[3], prometheus.CounterValue, float64(c.syncs()))
	reading := 0.0
	if _, going := c.reading(); going {
		reading = 1
	}
	ch <- prometheus.MustNewConstMetric(d[4], prometheus.GaugeValue, reading)
}

// Login counts a login.
func (m *Metrics) Login(listener, mechanism, result string) {
	m.logins.WithLabelValues(listener, mechanism, result).Inc()
}

// Issued tells when the certificate that acme issued for a name ends, or that an
// attempt to get one failed.
func (m *Metrics) Issued(name string, ends time.Time, err error) {
	if err != nil {
		m.unissued.WithLabelValues(name).Inc()
		return
	}
	m.issued.WithLabelValues(name).Set(float64(ends.Unix()))
}

// Certificates tells when the first certificate of a listener ends, or that its
// files cannot be used.
func (m *Metrics) Certificates(listener string, ends time.Time, err error) {
	if err != nil {
		m.unreadable.WithLabelValues(listener).Set(1)
		return
	}
	m.unreadable.WithLabelValues(listener).Set(0)
	m.certificate.WithLabelValues(listener).Set(float64(ends.Unix()))
}
