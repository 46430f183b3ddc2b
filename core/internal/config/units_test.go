// SPDX-License-Identifier: Apache-2.0

package config

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestParseDuration(t *testing.T) {
	good := map[string]time.Duration{
		"0s": 0, "250ms": 250 * time.Millisecond, "90s": 90 * time.Second, "1h30m": 90 * time.Minute, "5d": 120 * time.Hour,
		"36d": 864 * time.Hour, "1d12h": 36 * time.Hour, "1us": time.Microsecond, "1ns": 1, "9223372036854775807ns": math.MaxInt64,
	}
	for s, want := range good {
		if got, err := parseDuration(s); err != nil || got != want {
			t.Errorf("%q = %v, %v; want %v", s, got, err, want)
		}
		if back, err := parseDuration(formatDuration(want)); err != nil || back != want {
			t.Errorf("%v is written as %q and read as %v, %v", want, formatDuration(want), back, err)
		}
	}
	for _, s := range []string{"", "5", "s", "5 s", "-5s", "+5s", "1.5h", "5S", "5min", "5d3", "5w", "106752d", "99999999999999999999s", "106751d24h"} {
		if got, err := parseDuration(s); err == nil {
			t.Errorf("%q = %v, want an error", s, got)
		}
	}
}

func TestParseSize(t *testing.T) {
	good := map[string]int64{
		"0B": 0, "512B": 512, "25MiB": 25 << 20, "25MB": 25e6, "1kB": 1000, "64KiB": 64 << 10, "8TiB": 8 << 40, "3GB": 3e9, "2TB": 2e12, "1GiB": 1 << 30,
	}
	for s, want := range good {
		if got, err := parseSize(s); err != nil || got != want {
			t.Errorf("%q = %v, %v; want %v", s, got, err, want)
		}
		if back, err := parseSize(formatSize(want)); err != nil || back != want {
			t.Errorf("%v is written as %q and read as %v, %v", want, formatSize(want), back, err)
		}
	}
	for _, s := range []string{"", "25", "MiB", "25M", "25mb", "1MiB1KiB", "-1B", "1.5MiB", "9999999TiB", "25 MiB"} {
		if got, err := parseSize(s); err == nil {
			t.Errorf("%q = %v, want an error", s, got)
		}
	}
}

func TestParseRate(t *testing.T) {
	for s, want := range map[string]Rate{"100/1m": {100, time.Minute}, "1/1d": {1, 24 * time.Hour}, "5/90s": {5, 90 * time.Second}} {
		got, err := parseRate(s)
		if err != nil || got != want {
			t.Errorf("%q = %v, %v", s, got, err)
		}
		if back, err := parseRate(formatRate(want)); err != nil || back != want {
			t.Errorf("%v is read back as %v, %v", want, back, err)
		}
	}
	for _, s := range []string{"", "100", "100/m", "100/0s", "0/1m", "-1/1m", "1.5/1m", "/1m", "100/", "99999999999/1m", "1/1m/1m"} {
		if got, err := parseRate(s); err == nil {
			t.Errorf("%q = %v, want an error", s, got)
		}
	}
}

func TestParsePrefix(t *testing.T) {
	for s, want := range map[string]string{
		"127.0.0.0/8": "127.0.0.0/8", "192.0.2.1": "192.0.2.1/32", "2001:db8::/32": "2001:db8::/32", "::1": "::1/128", "0.0.0.0/0": "0.0.0.0/0",
	} {
		if got, err := parsePrefix(s); err != nil || got.String() != want {
			t.Errorf("%q = %v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "127.0.0.1/8", "localhost", "fe80::1%eth0", "192.0.2.0/33", "192.0.2.0/-1"} {
		if got, err := parsePrefix(s); err == nil {
			t.Errorf("%q = %v, want an error", s, got)
		}
	}
}

func TestNearest(t *testing.T) {
	valid := []string{"address", "pipeline", "relay_from", "limits", "tls"}
	for name, want := range map[string]string{
		"adress": "address", "piepline": "pipeline", "relayfrom": "relay_from", "limit": "limits", "TLS": "tls", "colour": "", "": "", "x": "",
	} {
		if got := nearest(name, valid); got != want {
			t.Errorf("%q may have meant %q, got %q", name, want, got)
		}
	}
}

func TestDoubling(t *testing.T) {
	for _, c := range []struct {
		first, last time.Duration
		want        string
	}{
		{time.Minute, 5 * time.Minute, "1m 2m 4m 5m"},
		{time.Minute, 4 * time.Minute, "1m 2m 4m"},
		{time.Hour, time.Hour, "1h"},
		{1 << 61, math.MaxInt64, formatDuration(1<<61) + " " + formatDuration(1<<62) + " " + formatDuration(math.MaxInt64)},
	} {
		if got := strings.Join(doubling(c.first, c.last), " "); got != c.want {
			t.Errorf("from %v to %v: %s", c.first, c.last, got)
		}
	}
}
