// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/sdk/abi"
)

// scrape returns what a monitor reads.
func scrape(t *testing.T, m *Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	promhttp.HandlerFor(m.reg, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 {
		t.Fatalf("scrape: %d %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func TestFiguresOfPlugins(t *testing.T) {
	m := NewMetrics()
	for _, c := range []struct {
		stage  string
		kind   int
		name   string
		labels [][2]string
		value  int64
	}{
		{"greylist", abi.MetricCounter, "seen_total", [][2]string{{"list", "a"}, {"way", "in"}}, 2},
		{"greylist", abi.MetricCounter, "seen_total", [][2]string{{"way", "in"}, {"list", "a"}}, 3},
		{"other", abi.MetricCounter, "seen_total", nil, 1},
		{"greylist", abi.MetricGauge, "size", nil, 7},
		{"greylist", abi.MetricGauge, "size", nil, -4},
		{"greylist", abi.MetricHistogram, "delay", [][2]string{{"q", `a"\` + "\n"}}, 50},
	} {
		if !m.Metric(c.stage, c.kind, c.name, c.labels, c.value) {
			t.Errorf("%+v was refused", c)
		}
	}
	text := scrape(t, m)
	for _, want := range []string{
		`postroad_plugin_seen_total{list="a",stage="greylist",way="in"} 5`,
		`postroad_plugin_seen_total{stage="other"} 1`,
		`postroad_plugin_size{stage="greylist"} -4`,
		`postroad_plugin_delay_bucket{q="a\"\\\n",stage="greylist",le="64"} 1`,
		`postroad_plugin_delay_sum{q="a\"\\\n",stage="greylist"} 50`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%s is missing in\n%s", want, text)
		}
	}
}

func TestFiguresOfPluginsAreBounded(t *testing.T) {
	m := NewMetrics()
	for i := range 2 * maxPluginSeries {
		if got, want := m.Metric("s", abi.MetricCounter, "n", [][2]string{{"i", fmt.Sprint(i)}}, 1), i < maxPluginSeries; got != want {
			t.Fatalf("series %d: %t", i, got)
		}
	}
	if !m.Metric("s", abi.MetricCounter, "n", [][2]string{{"i", "0"}}, 1) || !m.Metric("t", abi.MetricCounter, "n", nil, 1) {
		t.Error("one stage's bound holds for what it has, or for others")
	}
	if n := strings.Count(scrape(t, m), "postroad_plugin_n{"); n != maxPluginSeries+1 {
		t.Errorf("%d series", n)
	}
}

func TestMalformedFiguresOfPlugins(t *testing.T) {
	m := NewMetrics()
	if !m.Metric("s", abi.MetricGauge, "taken", nil, 1) {
		t.Fatal("refused")
	}
	long := strings.Repeat("x", 65)
	for name, c := range map[string]struct {
		kind   int
		name   string
		labels [][2]string
		value  int64
	}{
		"no name":        {0, "", nil, 1},
		"digit first":    {0, "1a", nil, 1},
		"space":          {0, "a b", nil, 1},
		"UTF-8":          {0, "ä", nil, 1},
		"long":           {0, long, nil, 1},
		"bucket":         {0, "a_bucket", nil, 1},
		"count":          {1, "a_count", nil, 1},
		"sum":            {1, "a_sum", nil, 1},
		"other kind":     {0, "taken", nil, 1},
		"unknown kind":   {3, "a", nil, 1},
		"negative kind":  {-1, "a", nil, 1},
		"negative count": {0, "a", nil, -1},
		"five labels":    {0, "a", [][2]string{{"a", ""}, {"b", ""}, {"c", ""}, {"d", ""}, {"e", ""}}, 1},
		"label twice":    {0, "a", [][2]string{{"a", ""}, {"a", "x"}}, 1},
		"label stage":    {0, "a", [][2]string{{"stage", "x"}}, 1},
		"label le":       {2, "a", [][2]string{{"le", "x"}}, 1},
		"label reserved": {0, "a", [][2]string{{"__a", "x"}}, 1},
		"label name":     {0, "a", [][2]string{{"a-b", "x"}}, 1},
		"label value":    {0, "a", [][2]string{{"a", "\xff"}}, 1},
		"long value":     {0, "a", [][2]string{{"a", long}}, 1},
	} {
		if m.Metric("s", c.kind, c.name, c.labels, c.value) {
			t.Errorf("%s was taken", name)
		}
	}
	if text := scrape(t, m); strings.Count(text, "postroad_plugin_") != 3 {
		t.Errorf("scraped %s", text)
	}
}

// TestNamesOfTheRelayAreNotForPlugins: a plugin must not spoil the scrape.
func TestNamesOfTheRelayAreNotForPlugins(t *testing.T) {
	m := NewMetrics()
	m.StageDone("s", mail.PhaseMail, mail.Continue, 0, "fuel")
	families, err := m.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	tried := 0
	for _, f := range families {
		name, ok := strings.CutPrefix(f.GetName(), pluginPrefix)
		if !ok {
			continue
		}
		tried++
		for kind := -1; kind <= abi.MetricHistogram; kind++ {
			if m.Metric("s", kind, name, [][2]string{{"cause", "x"}}, 1) {
				t.Errorf("%s was taken as kind %d", name, kind)
			}
		}
	}
	scrape(t, m)
	if tried == 0 {
		t.Error("the relay has no figure with the prefix of plugins")
	}
}

func TestFiguresOfPluginsHammer(t *testing.T) {
	m := NewMetrics()
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 200 {
				m.Metric(fmt.Sprint("s", w%2), abi.MetricCounter, "n", [][2]string{{"i", fmt.Sprint(i % 10)}}, 1)
			}
		})
	}
	wg.Go(func() { scrape(t, m) })
	wg.Wait()
	if text := scrape(t, m); strings.Count(text, "} 80\n") != 20 {
		t.Errorf("counts were lost:\n%s", text)
	}
}
