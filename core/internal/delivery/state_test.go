// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/postroad-mail/postroad/core/mail"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestStates runs the files in testdata. Their commands:
//
//	route NAME key=value…       a route; keys: kind, retry, expire, hosts, boxes, private, port, dsn, warning, conns, rate
//	provider NAME SUFFIX …      whose hosts these are, also conns=, rate=
//	source NAME ADDRESS …       where connections leave from; a route has sources=(…)
//	address ADDRESS broken      nothing can leave from it; or ok
//	class ROUTE NAME key=value… a class of it; keys: lowest, highest, retry, expire, warning
//	unroute NAME                no such route any more
//	rule DOMAIN ROUTE
//	mx DOMAIN PREF HOST … ttl=… mail exchangers; or "null", "nxdomain", "servfail"
//	host NAME BEHAVIOUR         what a host does; the lines below: its addresses
//	enqueue ID from=… to=(…)    and what came of it; also route=, hop=, outside, age=, expires=, nodsn,
//	                            notify=(…) for each recipient, ret=, notbefore=, priority=, by=600;R, requiretls
//	advance DURATION            and what came of it
//	hold ID RCPT REASON
//	explain ID RCPT
//	retry ID RCPT               due now
//	suspend DOMAIN DURATION
//	resume DOMAIN               and what came of it
//	pause REASON                no attempt begins; or "end", and what came of it
//	fail ID RCPT REPLY          an operator's bounce, and what came of it
func TestStates(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		r := newRig(t, nil)
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			r.t = t
			f, ok := commands[d.Cmd]
			if !ok {
				t.Fatalf("%s: no such command", d.Pos)
			}
			return f(r, d)
		})
	})
}

var commands = map[string]func(*rig, *datadriven.TestData) string{
	"pause": func(r *rig, d *datadriven.TestData) string {
		if d.CmdArgs[0].Key != "end" {
			r.s.Pause(d.CmdArgs[0].Key)
			return ""
		}
		r.s.Resume()
		r.idle()
		return r.events()
	},
	"route": func(r *rig, d *datadriven.TestData) string {
		r.setRoute(routeFrom(r, d))
		r.s.Reload()
		return ""
	},
	"provider": func(r *rig, d *datadriven.TestData) string {
		r.setProvider(providerFrom(d))
		r.s.Reload()
		r.idle()
		return r.events()
	},
	"source": func(r *rig, d *datadriven.TestData) string {
		src := &Source{Name: d.CmdArgs[0].Key, Hostname: d.CmdArgs[0].Key + ".example.net"}
		for _, a := range d.CmdArgs[1:] {
			src.Addresses = append(src.Addresses, netip.MustParseAddr(a.Key))
		}
		r.sources[src.Name] = src
		return ""
	},
	"address": func(r *rig, d *datadriven.TestData) string {
		r.net.mu.Lock()
		defer r.net.mu.Unlock()
		r.net.broken[netip.MustParseAddr(d.CmdArgs[0].Key)] = d.CmdArgs[1].Key == "broken"
		return ""
	},
	"class": func(r *rig, d *datadriven.TestData) string {
		route := *r.routes[d.CmdArgs[0].Key]
		route.Classes = append(slices.Clone(route.Classes), classFrom(d))
		r.setRoute(&route)
		r.s.Reload()
		return ""
	},
	"unroute": func(r *rig, d *datadriven.TestData) string {
		r.mu.Lock()
		delete(r.routes, d.CmdArgs[0].Key)
		r.mu.Unlock()
		r.s.Reload()
		return ""
	},
	"rule": func(r *rig, d *datadriven.TestData) string {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.rules[d.CmdArgs[0].Key] = d.CmdArgs[1].Key
		return ""
	},
	"mx":   setMX,
	"host": setHost,
	"enqueue": func(r *rig, d *datadriven.TestData) string {
		r.queue.enqueue(envelopeFrom(r, d))
		r.idle()
		return r.events()
	},
	"advance": func(r *rig, d *datadriven.TestData) string {
		by, err := time.ParseDuration(d.CmdArgs[0].Key)
		if err != nil {
			d.Fatalf(r.t, "%v", err)
		}
		r.advance(by)
		return r.events()
	},
	"hold": func(r *rig, d *datadriven.TestData) string {
		r.holds(func() bool { state(r, d).Held = d.CmdArgs[2].Key; return true })
		return ""
	},
	"retry": func(r *rig, d *datadriven.TestData) string {
		r.holds(func() bool { state(r, d).Next = time.Time{}; return true })
		r.queue.signal()
		r.idle()
		return r.events()
	},
	"suspend": func(r *rig, d *datadriven.TestData) string {
		r.mu.Lock()
		r.suspensions[d.CmdArgs[0].Key] = r.clock.Now().Add(duration(d.CmdArgs[1].Key))
		r.mu.Unlock()
		r.s.Reconsider()
		r.idle()
		return r.events()
	},
	"resume": func(r *rig, d *datadriven.TestData) string {
		r.mu.Lock()
		delete(r.suspensions, d.CmdArgs[0].Key)
		r.mu.Unlock()
		r.queue.unshelve()
		r.idle()
		return r.events()
	},
	"fail": func(r *rig, d *datadriven.TestData) string {
		m := r.queue.byID[d.CmdArgs[0].Key]
		r.holds(func() bool { m.leased[rcpt(d)] = true; r.queue.leased++; return true })
		err := r.s.Fail(context.Background(), []Lease{{Message: m, Recipients: []int{rcpt(d)}}},
			mail.Reply{Code: 550, Enhanced: mail.Enhanced{5, 7, 1}, Text: d.CmdArgs[2].Key})
		if err != nil {
			return err.Error()
		}
		r.idle()
		return r.events()
	},
	"explain": func(r *rig, d *datadriven.TestData) string {
		m, i := r.queue.byID[d.CmdArgs[0].Key], rcpt(d)
		st := m.State(i)
		r.holds(func() bool { st.Leased = m.leased[i]; return true })
		e := r.s.Explain(m.env, i, st)
		out := fmt.Sprintf("%s: %s", e.Action, e.Reason)
		if !e.Until.IsZero() {
			out += "; until +" + e.Until.Sub(r.start).String()
		}
		if !e.Expire.IsZero() {
			out += "; expires +" + e.Expire.Sub(r.start).String()
		}
		if e.Class != "" {
			out += "; class " + e.Class
		}
		return out + fmt.Sprintf(" (route %q, hop %q, attempts %d)\n", e.Route, e.Hop, st.Attempts)
	},
}

func rcpt(d *datadriven.TestData) int {
	i, _ := strconv.Atoi(d.CmdArgs[1].Key)
	return i
}

func state(r *rig, d *datadriven.TestData) *State {
	return &r.queue.byID[d.CmdArgs[0].Key].states[rcpt(d)]
}

func routeFrom(r0 *rig, d *datadriven.TestData) *Route {
	r := &Route{Name: d.CmdArgs[0].Key}
	for _, a := range d.CmdArgs[1:] {
		switch v := strings.Join(a.Vals, ","); a.Key {
		case "kind":
			r.Kind = map[string]Kind{"mx": ViaMX, "smarthost": ViaSmarthost, "maildir": ViaMaildir, "discard": ViaDiscard}[v]
		case "retry":
			for _, s := range a.Vals {
				r.Retry = append(r.Retry, duration(s))
			}
		case "expire":
			r.Expire = duration(v)
		case "hosts":
			r.Hosts = a.Vals
		case "boxes":
			r.Mailboxes = a.Vals
		case "conns":
			r.Connections, _ = strconv.Atoi(v)
		case "rate":
			r.Rate = rate(v)
		case "sources":
			for _, name := range a.Vals {
				r.Sources = append(r.Sources, r0.sources[name])
			}
		case "private":
			r.AllowPrivate = true
		case "dsn":
			r.DSN = map[string]DSN{"off": DSNOff, "headers": DSNHeaders, "full": DSNFull}[v]
		case "warning":
			r.DelayWarning = duration(v)
		}
	}
	return r
}

func providerFrom(d *datadriven.TestData) (*Provider, []string) {
	p := &Provider{Name: d.CmdArgs[0].Key}
	var suffixes []string
	for _, a := range d.CmdArgs[1:] {
		switch a.Key {
		case "conns":
			p.Connections, _ = strconv.Atoi(a.Vals[0])
		case "rate":
			p.Rate = rate(a.Vals[0])
		default:
			suffixes = append(suffixes, a.Key)
		}
	}
	return p, suffixes
}

func rate(s string) Rate {
	n, per, _ := strings.Cut(s, "/")
	count, _ := strconv.Atoi(n)
	return Rate{Count: count, Per: duration(per)}
}

func classFrom(d *datadriven.TestData) Class {
	c := Class{Name: d.CmdArgs[1].Key, Lowest: -mail.MaxPriority, Highest: mail.MaxPriority}
	for _, a := range d.CmdArgs[2:] {
		switch v := a.Vals[0]; a.Key {
		case "lowest":
			c.Lowest, _ = strconv.Atoi(v)
		case "highest":
			c.Highest, _ = strconv.Atoi(v)
		case "retry":
			c.Retry = append(c.Retry, duration(v))
		case "expire":
			c.Expire = duration(v)
		case "warning":
			c.DelayWarning = duration(v)
		}
	}
	return c
}

func duration(s string) time.Duration {
	d, err := time.ParseDuration(s)
	if err != nil {
		panic(err)
	}
	return d
}

func setMX(r *rig, d *datadriven.TestData) string {
	domain, what := d.CmdArgs[0].Key, d.CmdArgs[1].Key
	n := r.net
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.mxErr, domain)
	switch what {
	case "null":
		n.mxErr[domain] = mail.NewReply(556, mail.Enhanced{5, 1, 10}, "the domain takes no mail")
		return ""
	case "nxdomain":
		n.mxErr[domain] = mail.NewReply(550, mail.Enhanced{5, 1, 2}, "no such domain")
		return ""
	case "servfail":
		n.mxErr[domain] = fmt.Errorf("SERVFAIL")
		return ""
	}
	n.mx[domain] = nil
	ttl := time.Duration(0)
	if last := d.CmdArgs[len(d.CmdArgs)-1]; last.Key == "ttl" {
		ttl = duration(last.Vals[0])
	}
	for i := 1; i+1 < len(d.CmdArgs); i += 2 {
		pref, _ := strconv.Atoi(d.CmdArgs[i].Key)
		n.mx[domain] = append(n.mx[domain], MX{Host: d.CmdArgs[i+1].Key, Pref: uint16(pref), TTL: ttl})
	}
	return ""
}

func setHost(r *rig, d *datadriven.TestData) string {
	name := d.CmdArgs[0].Key
	var words []string
	for _, a := range d.CmdArgs[1:] {
		words = append(words, a.Key)
	}
	r.net.set(name, strings.Join(words, " "))
	if d.Input == "" {
		return ""
	}
	r.net.mu.Lock()
	defer r.net.mu.Unlock()
	r.net.ip[name] = nil
	for _, a := range strings.Fields(d.Input) {
		r.net.ip[name] = append(r.net.ip[name], netip.MustParseAddr(a))
	}
	return ""
}

func envelopeFrom(r *rig, d *datadriven.TestData) *mail.Envelope {
	var from string
	var to []string
	route, hop, age, expires, nodsn, outside := "", "", time.Duration(0), time.Duration(0), false, false
	var notify []string
	var ret mail.Return
	notBefore, priority := time.Duration(0), 0
	by, requireTLS := "", false
	for _, a := range d.CmdArgs[1:] {
		switch a.Key {
		case "from":
			from = strings.Join(a.Vals, "")
		case "to":
			to = a.Vals
		case "route":
			route = a.Vals[0]
		case "hop":
			hop = a.Vals[0]
		case "outside":
			outside = true
		case "age":
			age = duration(a.Vals[0])
		case "expires":
			expires = duration(a.Vals[0])
		case "notify":
			notify = a.Vals
		case "ret":
			ret, _ = mail.ParseReturn(a.Vals[0])
		case "priority":
			priority, _ = strconv.Atoi(a.Vals[0])
		case "notbefore":
			notBefore = duration(a.Vals[0])
		case "nodsn":
			nodsn = true
		case "by":
			by = a.Vals[0]
		case "requiretls":
			requireTLS = true
		}
	}
	env := r.envelope(d.CmdArgs[0].Key, from, to...)
	env.Priority = priority
	if env.NoDSN = nodsn; expires != 0 {
		env.Expires = env.Received.Add(expires)
	}
	env.Received = env.Received.Add(-age)
	if env.Return = ret; notBefore != 0 {
		env.NotBefore = env.Received.Add(notBefore)
	}
	if env.RequireTLS = requireTLS; by != "" {
		value, _ := mail.ParseDeliverBy(by)
		env.DeliverBy = value.From(env.Received)
	}
	for i, n := range notify {
		env.Recipients[i].Notify, _ = mail.ParseNotify(strings.ReplaceAll(n, "+", ","))
	}
	for i := range env.Recipients {
		env.Recipients[i].Route, env.Recipients[i].NextHop, env.Recipients[i].Outside = route, hop, outside
	}
	return env
}
