// SPDX-License-Identifier: Apache-2.0

package wasmhost

import (
	"strings"
	"unicode/utf8"

	"github.com/postroad-mail/postroad/core/internal/grant"
	"github.com/postroad-mail/postroad/sdk/abi"
)

// secret(np, nn, b, c): the value of a secret that is granted.
func secret(i *instance, s []uint64) int64 {
	name := i.view(s[0], s[1])
	i.view(s[2], s[3])
	if len(name) > maxNameLen || !grant.Allows(i.stage.grant.Secrets, string(name)) {
		return int64(abi.ErrDenied)
	}
	value, ok := i.stage.secrets[string(name)]
	if !ok {
		return int64(abi.ErrNotFound)
	}
	return i.putString(s[2], s[3], value)
}

// metric(kind, np, nn, val): a figure of this stage. A dry hook's is checked and
// forgotten.
func metric(i *instance, s []uint64) int64 {
	text := i.view(s[1], s[2])
	if len(text) > maxMetricText {
		return int64(abi.ErrBadArgument)
	}
	return i.measure(arg(s[0]), string(text), int64(s[3]))
}

func (i *instance) measure(kind int, text string, value int64) int64 {
	name, labels, ok := figure(text)
	switch {
	case !ok || kind == abi.MetricCounter && value < 0:
		return int64(abi.ErrBadArgument)
	case kind < abi.MetricCounter || kind > abi.MetricHistogram:
		return int64(abi.ErrUnsupported)
	case i.used.metrics >= maxMetrics:
		return int64(abi.ErrLimit)
	}
	i.used.metrics++
	i.charge(chargePerMetric)
	if i.stage.metrics == nil || i.hook.Dry() {
		return 0
	}
	if !i.stage.metrics.Metric(i.stage.name, kind, name, labels, value) {
		return int64(abi.ErrLimit)
	}
	return 0
}

const chargePerMetric = 5_000

// figure splits "name;key=value;key=value" and checks its form: at most four
// labels, none twice, and not those that the host sets.
func figure(text string) (name string, labels [][2]string, ok bool) {
	name, rest, more := strings.Cut(text, ";")
	if !figureName(name) {
		return "", nil, false
	}
	for more {
		var label string
		label, rest, more = strings.Cut(rest, ";")
		key, value, has := strings.Cut(label, "=")
		if !has || !figureName(key) || hostLabel(key) || len(value) > maxLabel || !utf8.ValidString(value) ||
			len(labels) >= maxLabels || hasLabel(labels, key) {
			return "", nil, false
		}
		labels = append(labels, [2]string{key, value})
	}
	return name, labels, true
}

// figureName tells whether s has the form of a name: lower-case letters, digits
// and underscores, beginning with a letter.
func figureName(s string) bool {
	if s == "" || len(s) > maxLabel || s[0] < 'a' || s[0] > 'z' {
		return false
	}
	for _, c := range []byte(s) {
		if c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return true
}

func hostLabel(key string) bool { return key == "stage" || key == "le" || key == "quantile" }

func hasLabel(labels [][2]string, key string) bool {
	for _, l := range labels {
		if l[0] == key {
			return true
		}
	}
	return false
}
