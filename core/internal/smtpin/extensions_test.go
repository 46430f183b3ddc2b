// SPDX-License-Identifier: Apache-2.0

package smtpin

import (
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postroad-mail/postroad/core/mail"
)

// noon is the time of these tests.
func noon() time.Time { return time.Date(2030, 1, 31, 12, 0, 0, 0, time.UTC) }

// The EHLO list names each extension with the parameters of its RFC.
func TestExtensionsAreListedWithTheirParameters(t *testing.T) {
	o := Options{Now: noon, Limits: Limits{Recipients: 50, Hold: time.Hour, DeliverBy: time.Minute}}
	plain, secure := Offered(o, false), Offered(o, true)
	for _, line := range []string{"BINARYMIME", "LIMITS RCPTMAX=50", "FUTURERELEASE 3600 2030-01-31T13:00:00Z", "DELIVERBY 60", "MT-PRIORITY", "RRVS"} {
		if !slices.Contains(plain, line) || !slices.Contains(secure, line) {
			t.Errorf("%s is not offered: %q, above TLS %q", line, plain, secure)
		}
	}
	if slices.Contains(plain, "REQUIRETLS") || !slices.Contains(secure, "REQUIRETLS") {
		t.Errorf("REQUIRETLS belongs above TLS alone: %q, %q", plain, secure)
	}
	o = Options{Withhold: []string{"CHUNKING", "limits"}}
	if list := strings.Join(Offered(o, true), " "); strings.Contains(list, "BINARYMIME") || strings.Contains(list, "LIMITS") {
		t.Errorf("withheld, or without what it builds on: %s", list)
	}
}

// A line that a stage makes smaller is the limit of the session; one that it makes
// larger changes nothing.
func TestAnEditedLineIsTheLimit(t *testing.T) {
	o := Options{Now: noon, Limits: Limits{Recipients: 50, Hold: time.Hour, DeliverBy: time.Minute}}.withDefaults()
	all := offered(&o, false)
	for _, c := range []struct {
		list string
		want bounds
	}{
		{"LIMITS MAILMAX=5 RCPTMAX=10\nFUTURERELEASE 60 2030-01-31T12:01:00Z\nDELIVERBY 600", bounds{10, time.Minute, 10 * time.Minute}},
		{"LIMITS RCPTMAX=1000\nFUTURERELEASE 7200 2030-01-31T14:00:00Z\nDELIVERBY 10", bounds{50, time.Hour, time.Minute}},
		{"LIMITS RCPTMAX=-1\nFUTURERELEASE x\nDELIVERBY 99999999999999999999", bounds{50, time.Hour, time.Minute}},
		{"LIMITS\nFUTURERELEASE\nDELIVERBY", bounds{50, time.Hour, time.Minute}},
	} {
		e, err := all.edited("mx.example.org", strings.Split(c.list, "\n"))
		if err != nil || e.bounds != c.want {
			t.Errorf("%q: %+v, %v", c.list, e.bounds, err)
		}
	}
}

func TestParametersOfMail(t *testing.T) {
	o := Options{Now: noon, Limits: Limits{Hold: time.Hour, DeliverBy: time.Minute}}.withDefaults()
	all := offered(&o, true)
	for params, want := range map[string]string{
		"REQUIRETLS":                                "",
		"requiretls=yes":                            "501 5.5.4",
		"REQUIRETLS REQUIRETLS":                     "501 5.5.4",
		"BODY=BINARYMIME":                           "",
		"BODY=binarymime SMTPUTF8":                  "",
		"HOLDFOR=3600":                              "",
		"HOLDFOR=3601":                              "501 5.5.4",
		"HOLDFOR=0":                                 "501 5.5.4",
		"HOLDFOR":                                   "501 5.5.4",
		"HOLDUNTIL=2030-01-31T13:00:00Z":            "",
		"HOLDUNTIL=2030-01-31T13:00:01Z":            "501 5.5.4",
		"HOLDUNTIL=2030-01-31T11:59:59Z":            "501 5.5.4",
		"HOLDUNTIL=tomorrow":                        "501 5.5.4",
		"HOLDFOR=60 HOLDUNTIL=2030-01-31T12:30:00Z": "501 5.5.4",
		"BY=60;R":                                   "",
		"BY=59;R":                                   "555 5.5.4",
		"BY=1;N":                                    "",
		"BY=-5;NT":                                  "",
		"BY=0;R":                                    "501 5.5.4",
		"BY=60":                                     "501 5.5.4",
		"HOLDFOR=60 BY=61;R":                        "",
		"BY=60;R HOLDFOR=60":                        "501 5.5.4",
		"BY=60;N HOLDUNTIL=2030-01-31T12:30:00Z":    "501 5.5.4",
		"MT-PRIORITY=-9":                            "",
		"MT-PRIORITY=10":                            "501 5.5.4",
		"MT-PRIORITY=+1":                            "501 5.5.4",
		"RRVS=2014-04-03T23:01:00Z":                 "555 5.5.4",
		"HOLD=5":                                    "555 5.5.4",
		"BY=600;R MT-PRIORITY=3 REQUIRETLS BODY=8BITMIME ": "",
	} {
		c, bad := parseMail("FROM:<a@x.test> "+params, all)
		if bad == nil {
			bad = c.count(noon(), all)
		}
		got := ""
		if bad != nil {
			got = bad.reply.Line()[:9]
		}
		equal(t, params, got, want)
	}
}

func TestParametersOfRcptRRVS(t *testing.T) {
	o := Options{}.withDefaults()
	for params, want := range map[string]string{
		"RRVS=2014-04-03T23:01:00Z":                        "",
		"rrvs=2014-04-03T23:01:00Z;c NOTIFY=NEVER":         "",
		"RRVS=2014-04-03":                                  "501 5.5.4",
		"RRVS":                                             "501 5.5.4",
		"RRVS=2014-04-03T23:01:00Z;X":                      "501 5.5.4",
		"RRVS=2014-04-03T23:01:00Z RRVS=2014-04-03T23:01Z": "501 5.5.4",
		"REQUIRETLS":                                       "555 5.5.4",
		"BY=60;R":                                          "555 5.5.4",
		"MT-PRIORITY=1":                                    "555 5.5.4",
		"HOLDFOR=60":                                       "555 5.5.4",
		"NOTIFY=SUCCESS RRVS=2014-04-03T23:01:00.5+02:00;R": "",
	} {
		_, bad := parseRcpt("TO:<b@x.test> "+params, false, offered(&o, true), "mx.example.org")
		got := ""
		if bad != nil {
			got = bad.reply.Line()[:9]
		}
		equal(t, params, got, want)
	}
}

// What is not on the list is refused like what is not known at all.
func TestWithheldParametersAreRefused(t *testing.T) {
	params := map[string]string{
		"BINARYMIME": "BODY=BINARYMIME", "FUTURERELEASE": "HOLDFOR=60", "DELIVERBY": "BY=60;N", "MT-PRIORITY": "MT-PRIORITY=1", "REQUIRETLS": "REQUIRETLS",
	}
	for extension, param := range params {
		o := Options{Withhold: []string{extension}}.withDefaults()
		if _, bad := parseMail("FROM:<a@x.test> "+param, offered(&o, true)); bad == nil || bad.reply.Code != 555 {
			t.Errorf("%s without %s: %v", param, extension, bad)
		}
	}
	o := Options{Withhold: []string{"RRVS"}}.withDefaults()
	if _, bad := parseRcpt("TO:<a@x.test> RRVS=2014-04-03T23:01:00Z", false, offered(&o, true), "x"); bad == nil || bad.reply.Code != 555 {
		t.Errorf("RRVS: %v", bad)
	}
}

// The backend gets what was asked for as values, counted from the server's clock.
func TestExtensionsReachTheBackend(t *testing.T) {
	b := &backend{}
	_, addr := serve(t, Options{Backend: b, Now: noon})
	c := dial(t, addr)
	c.send("EHLO x\r\nMAIL FROM:<a@x.test> HOLDFOR=60 BY=120;RT MT-PRIORITY=-2 BODY=BINARYMIME\r\n" +
		"RCPT TO:<b@x.test> RRVS=2014-04-03T23:01:00Z;C\r\nBDAT 7 LAST\r\n\r\n\r\x00\n.\rQUIT\r\n")
	if _, err := io.ReadAll(c.r); err != nil {
		t.Fatal(err)
	}
	if len(b.messages) != 1 {
		t.Fatal("no message")
	}
	p := b.messages[0].params
	by := mail.DeliverBy{At: noon().Add(2 * time.Minute), Return: true, Trace: true}
	if !p.Binary || p.EightBit || !p.Release.Equal(noon().Add(time.Minute)) || p.DeliverBy != by || p.Priority != -22 || !p.Prioritized || p.RequireTLS {
		t.Errorf("MAIL: %+v", p)
	}
	if v := b.messages[0].rcpts[0].ValidSince; !v.Continue || v.At.Year() != 2014 {
		t.Errorf("RCPT: %+v", v)
	}
	equal(t, "content", b.bodies()[0], "\r\n\r\x00\n.\r")
}

// A bare CR or LF in the header section is refused of a binary message too: it
// would be a header field to some, and none to others.
func TestHeaderOfABinaryMessageHasLines(t *testing.T) {
	for content, sound := range map[string]bool{
		"Subject: x\r\n\r\n\r\n\r\x00\n\xff": true,
		"\r\n\n":                             true,
		"Subject: x\r\nX: y\nZ: z\r\n\r\n":   false,
		"Subject: x\rX: y\r\n\r\n":           false,
		"Subject: x\n\n":                     false,
		"Subject: x\r\n\r":                   false,
		"Subject: x\r\n":                     true,
	} {
		for n := 1; n <= len(content); n++ {
			c := lineCheck{limit: 100, binary: true}
			ok := true
			for _, piece := range pieces([]byte(content), n) {
				ok = ok && c.next(piece) == nil
			}
			if ok = ok && c.end() == nil; ok != sound {
				t.Errorf("%q in pieces of %d: %v", content, n, ok)
			}
		}
	}
}

// FuzzParams gives MAIL and RCPT any parameters: a refusal is one line of 5xx, and
// what is taken is within what was offered.
func FuzzParams(f *testing.F) {
	for _, s := range []string{"HOLDFOR=60 BY=61;RT", "HOLDUNTIL=2030-01-31T12:30:00Z", "MT-PRIORITY=-9 REQUIRETLS", "BODY=BINARYMIME", "RRVS=2014-04-03T23:01:00Z;C", "BY=-5;N"} {
		f.Add(s)
	}
	o := Options{Hostname: "mx.example.org", Now: noon, Limits: Limits{Hold: time.Hour, DeliverBy: time.Minute}}.withDefaults()
	all := offered(&o, true)
	f.Fuzz(func(t *testing.T, params string) {
		c, bad := parseMail("FROM:<a@x.test> "+params, all)
		if bad == nil {
			bad = c.count(noon(), all)
		}
		if bad != nil && (bad.reply.Code/100 != 5 || strings.Count(wireText(bad.reply), "\n") != 1) {
			t.Errorf("%q: %v", params, bad.reply)
		}
		p := &c.params
		if bad == nil && !p.Release.IsZero() && (p.Release.Before(noon()) || p.Release.After(noon().Add(time.Hour))) {
			t.Errorf("%q: released at %v", params, p.Release)
		}
		if bad == nil && p.DeliverBy.Return && p.DeliverBy.At.Before(noon().Add(time.Minute)) {
			t.Errorf("%q: to be delivered by %v", params, p.DeliverBy)
		}
		if bad == nil && (p.Priority < -99 || p.Priority > 99) {
			t.Errorf("%q: priority %d", params, p.Priority)
		}
	})
}
