// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"time"
)

// Listener is one door for mail.
type Listener struct {
	Kind       string // "smtp", "submission" or "lmtp"
	Name       string
	Addresses  []string       // host:port, "unix:PATH" (absolute) or "systemd:NAME" each; none: switched off
	Pipeline   string         // name; empty: none
	RelayFrom  []netip.Prefix // clients that may send to any domain
	OnMixed    string         // "tempfail", "accept_and_bounce" or "accept_and_drop"
	TLS        *TLS           // nil: no STARTTLS
	Auth       *Auth          // nil: nobody logs in
	Limits     ListenerLimits
	Clients    Clients
	Submission Submission
	Proxies    Proxies
	Pos        Pos

	SocketMode  fs.FileMode // of the files of unix sockets
	SocketGroup string      // name or number; empty: the process's own

	Tenant, Campaign string
	Priority         int // -100 to 100

	TenantHeader, CampaignHeader, PriorityHeader string // field names; empty: none

	Extensions ListenerExtensions
}

// ListenerLimits bounds what one client and all clients of a listener may ask.
type ListenerLimits struct {
	MessageSize          int64 // octets
	Recipients           int   // per message
	Connections          int   // at once
	ConnectionsPerClient int   // at once, per client address
	LineLength           int   // octets of one line of a message
	HeaderSize           int   // octets
	HeaderFields         int
	FieldLength          int // octets of one header field
	MIMEDepth            int // multiparts and messages in each other
	MIMEParts            int // with the message itself
	CommandTimeout       time.Duration
	DataTimeout          time.Duration // for the next octets of a message
	DataRate             int           // octets a second of a message, at least; 0: any
	TransactionTime      time.Duration // from MAIL to the reply to the message
	IdleCommands         int           // that begin no transaction, in a row
	Hops                 int           // Received fields before a message counts as looping
}

func listenerSpec() *blockSpec {
	return &blockSpec{
		name: "listener", labels: []string{"kind", "name"}, count: many,
		doc: "A door for mail. Its kind is \"smtp\", for other hosts (RFC 5321); \"submission\", which takes mail only from clients that have logged in or are in relay_from (RFC 6409); or \"lmtp\", which answers for each recipient (RFC 2033).",
		args: []argSpec{
			{"address", listensKind(), ``, false, "Where it listens, one address or a list; \"\" switches it off. Left out, it is \"127.0.0.1:2525\" for smtp, \"127.0.0.1:2587\" for submission and \"127.0.0.1:2424\" for lmtp. \"0.0.0.0:25\" is IPv4 alone, \"[::]:25\" IPv6 alone, \":25\" both. \"unix:PATH\" is a socket in the file system, and \"systemd:NAME\" are the sockets of that name that the program was started with."},
			{"socket_mode", socketModeKind(), `"0660"`, false, "Rights of the files of its unix sockets; who can write can connect."},
			{"socket_group", groupKind(), `""`, false, "Group of those files; \"\" is that of the process."},
			{"pipeline", refKind("pipeline"), ``, false, "The stages that every message of this listener passes; none if left out."},
			{"relay_from", listKind[prefix](prefixKind(), "list of networks"), `[]`, false, "Clients that may send to any domain. Others may send only to the domains that routing delivers locally or accepts."},
			{"tenant", labelKind(), ``, false, "Whose mail this is, for lists, suspensions and limits."},
			{"campaign", labelKind(), ``, false, "Of which campaign it is."},
			{"tenant_header", fieldNameKind(), ``, false, "Header field that names the tenant in place of the listener. It is believed of clients in relay_from and of programs, and taken out of every message."},
			{"campaign_header", fieldNameKind(), ``, false, "The same for the campaign."},
			{"priority", priorityKind(), `0`, false, "Priority of the mail: what is higher goes first among what is due, and the classes of a route go by it."},
			{"priority_header", fieldNameKind(), ``, false, "The same as tenant_header for the priority, a whole number from -100 to 100."},
			{"on_mixed", enumKind("tempfail", "accept_and_bounce", "accept_and_drop"), `"accept_and_drop"`, false, "The one reply after DATA when stages refused some recipients and let others pass: refuse all for now; accept and send a bounce for the refused; or accept and drop them with a record in the log."},
		},
		blocks: []*blockSpec{
			tlsSpec(),
			authSpec(),
			proxySpec(),
			xclientSpec(),
			clientsSpec(),
			submissionSpec(),
			limitsSpec(),
			extensionsSpec(),
		},
	}
}

func limitsSpec() *blockSpec {
	return &blockSpec{
		name: "limits", count: always, doc: "What one client, and all clients together, may ask of the listener.",
		args: []argSpec{
			{"message_size", sizeKind(1<<10, 1<<40), `"25MiB"`, false, "Octets of a message; announced in EHLO."},
			{"recipients", numberKind(1, 1e6), `100`, false, "Recipients of a message. RFC 5321 asks for at least 100."},
			{"connections", numberKind(1, 1e6), `2000`, false, "Connections at once."},
			{"connections_per_client", numberKind(1, 1e6), `200`, false, "Connections at once from one address."},
			{"line_length", sizeKind(1000, 1<<30), `"1MiB"`, false, "Octets of one line of a message."},
			{"header_size", sizeKind(1<<10, 1<<30), `"1MiB"`, false, "Octets of a message's header."},
			{"header_fields", numberKind(1, 9000), `9000`, false, "Fields of a message's header."},
			{"field_length", sizeKind(1<<10, 1<<30), `"256KiB"`, false, "Octets of one header field with its folding."},
			{"mime_depth", numberKind(1, 32), `32`, false, "Multiparts and messages in each other. Stages see no deeper: what is deeper is refused, so that nothing is hidden from them."},
			{"mime_parts", numberKind(1, 1000), `1000`, false, "MIME parts of a message, with itself; stages see no more."},
			{"command_timeout", durationKind(time.Second), `"5m"`, false, "How long the next command may take to come."},
			{"data_timeout", durationKind(time.Second), `"3m"`, false, "How long the next octets of a message may take to come."},
			{"data_rate", sizeKind(0, 1<<30), `"500B"`, false, "Octets of a message that a client has to send in a second, on average over data_timeout; one that is slower for so long is answered 421. Time that stages and disk take does not count. \"0B\" is any rate."},
			{"transaction_time", durationKind(time.Second), `"30m"`, false, "How long a message may take from MAIL to the reply."},
			{"idle_commands", numberKind(1, 1e9), `100`, false, "Commands in a row that begin no message, such as NOOP, RSET and EHLO; the next one is answered 421."},
			{"hops", numberKind(1, 1e6), `100`, false, "Received fields of a message before it counts as looping."},
		},
	}
}

func (d *decoder) listener(n *node) Listener {
	if !slices.Contains(listenerKinds(), n.labels[0]) {
		d.fault(n.rng, fmt.Sprintf("there is no listener of kind %q", n.labels[0]), expected(n.labels[0], listenerKinds()))
	}
	if !n.args["address"].given {
		n.set("address", defaultAddress(n.labels[0]))
	}
	l := Listener{
		Kind: n.labels[0], Name: n.name(), Addresses: arg[[]string](n, "address"), Pipeline: arg[string](n, "pipeline"),
		RelayFrom: arg[[]netip.Prefix](n, "relay_from"), OnMixed: arg[string](n, "on_mixed"),
		Tenant: arg[string](n, "tenant"), Campaign: arg[string](n, "campaign"),
		TenantHeader: arg[string](n, "tenant_header"), CampaignHeader: arg[string](n, "campaign_header"),
		Priority: int(arg[int64](n, "priority")), PriorityHeader: arg[string](n, "priority_header"),
		Limits: buildLimits(n.child("limits")), Pos: d.pos(n.rng),
		SocketMode: arg[fs.FileMode](n, "socket_mode"), SocketGroup: arg[string](n, "socket_group"), Proxies: d.proxies(n),
		Extensions: buildExtensions(n.child("extensions")),
		Auth:       d.auth(n, n.labels[0]),
		Clients:    d.clients(n),
		Submission: buildSubmission(n.child("submission")),
	}
	l.TLS = d.tls(n)
	d.warnOpenRelay(n, l)
	d.notOnPort25(n, &l)
	return l
}

func (d *decoder) warnOpenRelay(n *node, l Listener) {
	for _, p := range l.RelayFrom {
		if p.Bits() == 0 {
			d.warn(n.args["relay_from"].rng, "every client may send to any domain: an open relay", "name the networks of your own clients")
			return
		}
	}
}

func buildLimits(n *node) ListenerLimits {
	count := func(name string) int { return int(arg[int64](n, name)) }
	span := func(name string) time.Duration { return arg[time.Duration](n, name) }
	return ListenerLimits{
		MessageSize: arg[int64](n, "message_size"), Recipients: count("recipients"),
		Connections: count("connections"), ConnectionsPerClient: count("connections_per_client"),
		LineLength: count("line_length"), HeaderSize: count("header_size"),
		HeaderFields: count("header_fields"), FieldLength: count("field_length"), MIMEDepth: count("mime_depth"), MIMEParts: count("mime_parts"),
		CommandTimeout: span("command_timeout"), DataTimeout: span("data_timeout"), DataRate: int(arg[int64](n, "data_rate")), TransactionTime: span("transaction_time"),
		Hops: count("hops"), IdleCommands: count("idle_commands"),
	}
}
