// SPDX-License-Identifier: Apache-2.0

package smtp

import (
	"bytes"
	"strconv"
	"strings"
)

// extensions are what a host offered in its reply to EHLO, as far as we use it.
type extensions struct {
	pipelining bool  // RFC 2920
	eightBit   bool  // RFC 6152
	utf8       bool  // RFC 6531
	starttls   bool  // RFC 3207
	dsn        bool  // RFC 3461
	size       bool  // RFC 1870
	maxSize    int64 // 0: no limit given
	chunking   bool  // RFC 3030, as the next
	binary     bool
	requireTLS bool // RFC 8689
	deliverBy  bool // RFC 2852
	priority   bool // RFC 6710
	validSince bool // RFC 7293
	limits     limits
}

// limits are those of RFC 9422; 0 is none.
type limits struct {
	mails   int // transactions on one connection
	rcpts   int // recipients of one transaction
	domains int // that they have
}

// note takes one limit, "RCPTMAX=100" for instance.
func (l *limits) note(limit string) {
	name, value, _ := strings.Cut(strings.ToUpper(limit), "=")
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 {
		return
	}
	switch name {
	case "MAILMAX":
		l.mails = n
	case "RCPTMAX":
		l.rcpts = n
	case "RCPTDOMAINMAX":
		l.domains = n
	}
}

// note takes one line of the reply to EHLO. The first one, which names the
// host, means nothing here.
func (e *extensions) note(line []byte) {
	if len(line) < 5 {
		return
	}
	words := bytes.Fields(line[4:])
	if len(words) == 0 {
		return
	}
	switch strings.ToUpper(string(words[0])) {
	case "PIPELINING":
		e.pipelining = true
	case "8BITMIME":
		e.eightBit = true
	case "SMTPUTF8":
		e.utf8 = true
	case "STARTTLS":
		e.starttls = true
	case "DSN":
		e.dsn = true
	case "CHUNKING":
		e.chunking = true
	case "BINARYMIME":
		e.binary = true
	case "REQUIRETLS":
		e.requireTLS = true
	case "DELIVERBY":
		e.deliverBy = true
	case "MT-PRIORITY":
		e.priority = true
	case "RRVS":
		e.validSince = true
	case "LIMITS":
		for _, limit := range words[1:] {
			e.limits.note(string(limit))
		}
	case "SIZE":
		e.size = true
		if len(words) > 1 {
			e.maxSize, _ = strconv.ParseInt(string(words[1]), 10, 64)
		}
	}
}

// hello says EHLO, or HELO to a host that does not know EHLO (RFC 5321 §3.2),
// and returns the host's last reply with what it offers.
func (w *wire) hello(hostname string) (*reply, extensions, error) {
	var e extensions
	first := true
	w.each = func(line []byte) {
		if !first {
			e.note(line)
		}
		first = false
	}
	r, err := w.command("EHLO "+hostname, w.t.Hello)
	w.each = nil
	if err != nil || r.code/100 != 5 {
		return r, e, err
	}
	r, err = w.command("HELO "+hostname, w.t.Hello)
	return r, extensions{}, err
}
