// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Clients is what a listener asks of clients that it does not know: those that are
// neither in relay_from nor in Trusted, and have not logged in.
type Clients struct {
	Trusted    []netip.Prefix
	Connects   Rate          // connections of one address; zero: any number
	Messages   Rate          // likewise
	Recipients Rate          // likewise
	Refused    int           // recipients refused in one session, then it ends
	GreetDelay time.Duration // before the banner; who speaks in it is refused
	Tarpit     time.Duration // each fault of a session makes its replies so much slower
	ReverseDNS string        // "off", "note" or "require"
	Helo       string        // "off" or "require"
	Threshold  int           // weight of lists at which a client is refused
	Lists      []DNSList
}

// DNSList is a list of addresses in the DNS.
type DNSList struct {
	Zone   string
	Codes  []netip.Prefix // nil: all of 127.0.0.0/8
	Weight int            // against the client; below 0 for it
}

// Equal reports whether both say the same of what a server enforces itself.
func (c *Clients) Equal(d *Clients) bool {
	return c.GreetDelay == d.GreetDelay && c.Tarpit == d.Tarpit && c.Refused == d.Refused && slices.Equal(c.Trusted, d.Trusted)
}

func clientsSpec() *blockSpec {
	return &blockSpec{
		name: "clients", count: always, doc: "What strangers have to put up with: clients that are not in relay_from or trusted, and have not logged in. An IPv6 client counts as its /64.",
		args: []argSpec{
			{"trusted", listKind[prefix](prefixKind(), "list of networks"), `[]`, false, "Clients that are no strangers, though they may not relay."},
			{"connection_rate", rateKind(), ``, false, "Connections from one address; what is more is answered 421."},
			{"message_rate", rateKind(), ``, false, "Messages from one address; what is more is answered 450."},
			{"recipient_rate", rateKind(), ``, false, "Recipients from one address; what is more is answered 452."},
			{"refused_recipients", numberKind(1, 1e6), `50`, false, "Recipients that may be refused in one session; then it ends with 421."},
			{"greet_delay", durationKind(0), `"0s"`, false, "How long the banner is held back. A client that speaks before it is refused with 554, as programs do that only pretend to speak SMTP."},
			{"tarpit", durationKind(0), `"0s"`, false, "How much slower each fault of a session makes the replies to its faults, up to ten times as much."},
			{"reverse_dns", enumKind("off", "note", "require"), `"off"`, false, "Whether the client's name is looked up, by PTR and back, for client.name; \"require\" refuses who has none with 550, and with 450 when the DNS cannot be asked."},
			{"helo", enumKind("off", "require"), `"off"`, false, "\"require\" refuses EHLO and HELO with our own name, with a bare address, or with a name without a dot: 550."},
			{"dnsbl_threshold", numberKind(1, 1000), `1`, false, "The weight of all lists together at which a client is refused with 554."},
		},
		blocks: []*blockSpec{{
			name: "dnsbl", labels: []string{"name"}, count: many, doc: "A list of addresses in the DNS. One that does not answer says nothing against a client.",
			args: []argSpec{
				{"zone", zoneKind(), ``, true, "The domain below which the addresses are."},
				{"codes", listKind[prefix](prefixKind(), "list of networks"), `[]`, false, "Answers that count, such as \"127.0.0.2\"; all of 127.0.0.0/8 if empty."},
				{"weight", numberKind(-1000, 1000), `1`, false, "How much it counts against a client; below 0 for it, as lists of good clients do."},
			},
		}},
	}
}

func (d *decoder) clients(n *node) Clients {
	b := n.child("clients")
	c := Clients{
		Trusted: arg[[]netip.Prefix](b, "trusted"), Connects: arg[Rate](b, "connection_rate"), Messages: arg[Rate](b, "message_rate"),
		Recipients: arg[Rate](b, "recipient_rate"), Refused: int(arg[int64](b, "refused_recipients")), GreetDelay: arg[time.Duration](b, "greet_delay"),
		Tarpit: arg[time.Duration](b, "tarpit"), ReverseDNS: arg[string](b, "reverse_dns"), Helo: arg[string](b, "helo"), Threshold: int(arg[int64](b, "dnsbl_threshold")),
	}
	if c.GreetDelay > time.Minute || c.Tarpit > time.Minute {
		d.fault(b.rng, "greet_delay and tarpit are a minute at most", "honest clients wait for a greeting for five minutes, and give up before that")
	}
	for _, l := range b.children("dnsbl") {
		c.Lists = append(c.Lists, dnsList(l))
	}
	return c
}

// zoneKind reads the domain of a list.
func zoneKind() kind {
	return scalarKind("domain", `the domain of a list, such as "list.example.org"`, func(_ *decoder, s string) (string, error) {
		zone := strings.ToLower(strings.TrimSuffix(s, "."))
		if !isWebHost(zone) || !strings.Contains(zone, ".") || len(zone) > 150 {
			return "", fmt.Errorf("%q is not such a domain", s)
		}
		return zone, nil
	}, same)
}

func dnsList(n *node) DNSList {
	l := DNSList{Zone: arg[string](n, "zone"), Codes: arg[[]netip.Prefix](n, "codes"), Weight: int(arg[int64](n, "weight"))}
	if len(l.Codes) == 0 {
		l.Codes = nil
	}
	return l
}
