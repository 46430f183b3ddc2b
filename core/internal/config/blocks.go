// SPDX-License-Identifier: Apache-2.0

package config

import (
	"math"
	"time"

	"github.com/postroad-mail/postroad/core/mail"
)

// grammar is everything that may stand in pipeline.hcl. The reference is
// printed from it, defaults included.
func grammar() *blockSpec {
	return &blockSpec{name: "pipeline.hcl", blocks: []*blockSpec{
		serverSpec(), adminSpec(), resolverSpec(), listenerSpec(), usersSpec(), acmeSpec(), pluginSpec(), storeSpec(), bucketSpec(),
		pipelineSpec(), routingSpec(), routeSpec(), providerSpec(), sourceSpec(),
	}}
}

func serverSpec() *blockSpec {
	return &blockSpec{
		name: "server", count: always, doc: "What the whole process needs.",
		args: []argSpec{
			{"hostname", hostnameKind(), `"localhost"`, false, "Our name in greetings, Received fields and bounces."},
			{"data_dir", fileKind(), `"./data"`, false, "Folder of the queue and of everything else that is kept. A relative path starts at this file's folder."},
			{"drain_timeout", durationKind(0), `"30s"`, false, "How long a stop waits for running sessions and deliveries."},
			{"plugin_memory", sizeKind(1<<20, 1<<40), `"2GiB"`, false, "Memory of all instances of all plugins together, whatever each may have."},
			{"watchdog", durationKind(0), `"15m"`, false, "How long a message may be due without being tried, or put in line or off with a reason, before the log, /metrics and /healthz say so; \"0s\" switches it off."},
		},
		blocks: []*blockSpec{{
			name: "log", count: always, doc: "What is logged, to standard error.",
			args: []argSpec{
				{"format", enumKind("text", "json"), `"text"`, false, "One line of text or one JSON object per event."},
				{"level", enumKind("trace", "debug", "info", "warn", "error"), `"info"`, false, "The least important events that are logged."},
			},
		}},
	}
}

func adminSpec() *blockSpec {
	return &blockSpec{
		name: "admin", count: always, doc: "The HTTP listener with /metrics and /healthz.",
		args: []argSpec{{"address", listenKind(), `"127.0.0.1:8025"`, false, "Where it listens; \"\" switches it off."}},
	}
}

func resolverSpec() *blockSpec {
	return &blockSpec{
		name: "resolver", count: always, doc: "Whom to ask for DNS records.",
		args: []argSpec{{"servers", listKind[string](peerKind(53), "list of host:port"), `[]`, false, "Name servers; an empty list means the system's."}},
	}
}

func pluginSpec() *blockSpec {
	return &blockSpec{
		name: "plugin", labels: []string{"name"}, count: many, example: pluginExample,
		doc: "Code that stages may run. A builtin gets what its manifest asks for; code from anywhere else gets nothing without a grant.",
		args: []argSpec{
			{"source", sourceKind(), ``, true, "\"builtin:NAME\", the path of a module, \"oci:HOST/REPOSITORY@sha256:DIGEST\" of a registry, or in a program that embeds the relay \"native:NAME\"."},
			{"sha256", sha256Kind(), ``, false, "What the module's SHA-256 must be."},
			{"signature", fileKind(), ``, false, "File with the minisign signature of the module; it needs public_key. Left out, it is the source with .minisig behind it, or the annotation dev.postroad.minisig of the layer in a registry."},
			{"public_key", publicKeyKind(), ``, false, "The minisign key that must have signed the module: its text, or the path of its .pub file."},
			{"mode", enumKind("filter"), ``, false, "For a command: it reads a raw message and writes a raw message. A command without it speaks JSON."},
			{"phases", listKind[string](enumKind(phaseNames()...), "list of phases"), ``, false, "The phases in which its stages are called, by the names in the table of phases; all that it serves if left out."},
			{"isolation", enumKind("call", "message", "session", "fresh", "restore"), `"call"`, false, "What shares an instance: one call after the other; the calls of one message; those of one connection; nothing, every call gets a fresh one; or one call after the other with the memory put back as it was after the start."},
			{"strict_imports", boolKind(), `false`, false, "Refuse a module that imports a function outside its grant. Otherwise a call of such a function is denied."},
		},
		blocks: []*blockSpec{grantSpec(), pluginLimitsSpec()},
	}
}

func grantSpec() *blockSpec {
	return &blockSpec{
		name: "grant", count: optional, doc: "What the plugin may touch. For a builtin, an argument that is left out means what its manifest asks for.",
		args: []argSpec{
			{"read", listKind[string](enumKind("envelope", "headers", "body", "auth"), "list of names"), ``, false, "What it may read: \"envelope\", \"headers\" and \"body\" of a message, the password of an \"auth\" at hand."},
			{"write", listKind[string](enumKind("headers", "body", "recipients", "sender", "queue", "ehlo"), "list of names"), ``, false, "What it may change: \"headers\", \"body\", \"recipients\" and \"sender\" of a message, its times and priority in the \"queue\", the answer to \"ehlo\"."},
			{"routes", refsKind("route"), ``, false, "Routes that it may choose; [\"*\"] for all."},
			{"next_hops", listKind[string](hopKind(), "list of patterns"), ``, false, "Next hops outside the routes that it may choose; [\"*\"] for all. A pattern of addresses, \"10.1.*:25\", is for addresses alone; what another pattern covers must have a public address."},
			{"kv", refsKind("store"), ``, false, "Stores that it may use; [\"*\"] for all."},
			{"buckets", refsKind("bucket"), ``, false, "Buckets that it may take from; [\"*\"] for all."},
			{"dns", boolKind(), ``, false, "Ask for DNS records."},
			{"http", listKind[string](webHostKind(), "list of hosts"), ``, false, "Hosts that it may ask by HTTP; [\"*\"] for all. A pattern covers the names that a manifest asks for."},
			{"dkim", listKind[string](secretNameKind(), "list of keys"), ``, false, "Keys that it may sign with. It comes with mail authentication and is refused until then."},
			{"emit", boolKind(), ``, false, "Send new messages, as many as its limits allow."},
			{"secrets", listKind[string](secretNameKind(), "list of secret names"), ``, false, "Secrets that it may read, by the names that the function secret takes; [\"*\"] for those that its manifest names."},
			{"tick", durationKind(time.Second), ``, false, "How often it is called in the phase tick."},
		},
	}
}

func pluginLimitsSpec() *blockSpec {
	return &blockSpec{
		name: "limits", count: always, doc: "What the plugin may cost. A call that exceeds a limit is stopped and counts as failed.",
		args: []argSpec{
			{"memory", sizeKind(64<<10, 4<<30), `"32MiB"`, false, "Memory of one instance."},
			{"fuel", numberKind(1, math.MaxInt64), `50000000`, false, "Units of work of a call in the phases connect to data, body (each chunk) and reset."},
			{"message_fuel", numberKind(1, math.MaxInt64), `500000000`, false, "Units of work of a call in any other phase: headers, message, queued, those of delivery, tick. 5,000 are added for each octet of the message that a call of any phase can read, up to 10,000,000,000."},
			{"deadline", durationKind(time.Millisecond), `"250ms"`, false, "Time of a call in the phases that fuel is for."},
			{"message_deadline", durationKind(time.Millisecond), `"5s"`, false, "Time of a call in the phases that message_fuel is for, and of the start of an instance."},
			{"depth", numberKind(16, 1e6), `4096`, false, "Depth of calls inside the plugin."},
			{"instances", numberKind(1, 10000), `16`, false, "Instances at once; further calls wait."},
			{"emit", rateKind(), `"100/1h"`, false, "New messages that it may send, with the grant emit."},
		},
	}
}

func storeSpec() *blockSpec {
	return &blockSpec{
		name: "store", labels: []string{"name"}, count: many, doc: "A key-value store. Its engine cannot change while the relay runs.",
		args: []argSpec{
			{"engine", enumKind("pebble", "memory"), `"pebble"`, false, "What keeps it: the disk, so that it outlives restarts, or memory, which is faster and starts empty."},
			{"ttl", durationKind(0), `"0s"`, false, "How long an entry stays when the plugin does not say; \"0s\" means until it is deleted."},
			{"keys", numberKind(1, 1<<40), `1048576`, false, "Keys that it may have. A store that is full takes no new key, and the function answers -5; nothing is pushed out."},
			{"size", sizeKind(1<<10, 1<<40), `"256MiB"`, false, "What keys and values may take together, with 8 octets for each key."},
		},
	}
}

func bucketSpec() *blockSpec {
	return &blockSpec{
		name: "bucket", labels: []string{"name"}, count: many, doc: "Token buckets, one per key, shared by all stages that use them.",
		args: []argSpec{
			{"rate", rateKind(), ``, true, "Tokens that come back per time."},
			{"burst", numberKind(1, 1e9), ``, false, "Tokens that a full bucket holds; the number of rate if left out."},
		},
	}
}

func pipelineSpec() *blockSpec {
	return &blockSpec{
		name: "pipeline", labels: []string{"name"}, count: many, example: pipelineExample,
		doc:    "Stages in the order of the text. Where a listener names it, they are called while mail comes in; where a route names it, while mail goes out.",
		blocks: []*blockSpec{captureSpec(), stageSpec()},
	}
}

func captureSpec() *blockSpec {
	return &blockSpec{
		name: "capture", count: optional, doc: "Keeps messages as they came in, in data_dir, for `postroad replay`. Nothing is kept without it.",
		args: []argSpec{
			{"share", shareKind("the mail"), `"1%"`, false, "How much of the mail is kept."},
			{"messages", numberKind(1, 1e6), `1000`, false, "Messages that are kept; the oldest go first."},
			{"size", sizeKind(1<<20, 1<<40), `"256MiB"`, false, "Octets of all that are kept."},
			{"keep", durationKind(time.Minute), `"7d"`, false, "How long one is kept; then it is removed, also when no mail comes."},
			{"redact", listKind[string](enumKind("body", "subject", "addresses", "client"), "list of names"), `[]`, false, "What is made unreadable before it is written: letters and digits of the \"body\" and the \"subject\" (with Comments and Keywords), local parts of \"addresses\", names and address of the \"client\", in our Received field too. What other hosts or stages wrote into other fields stays."},
		},
	}
}

func stageSpec() *blockSpec {
	return &blockSpec{
		name: "stage", labels: []string{"name"}, count: many, doc: "One use of a plugin.",
		args: []argSpec{
			{"plugin", refKind("plugin"), ``, true, "What it runs."},
			{"when", conditionKind(), ``, false, "Whether it runs; always if left out."},
			{"on_error", enumKind("tempfail", "skip", "reject", "quarantine"), `"tempfail"`, false, "What happens to the message when the plugin fails. While mail goes out, all but skip put the delivery off."},
			{"always", boolKind(), `false`, false, "Runs even after an earlier stage has accepted."},
		},
		blocks: []*blockSpec{configSpec("Settings of the plugin, checked against its own schema."), candidateSpec(), breakerSpec()},
	}
}

func configSpec(doc string) *blockSpec {
	return &blockSpec{name: "config", count: optional, free: true, doc: doc}
}

func candidateSpec() *blockSpec {
	return &blockSpec{
		name: "candidate", count: optional, doc: "The next version of the stage, beside the live one. `postroad stage` lists, promotes and rolls back candidates while the relay runs.",
		args: []argSpec{
			{"plugin", refKind("plugin"), ``, true, "What it runs."},
			{"mode", enumKind("shadow", "canary"), `"shadow"`, false, "A shadow is called beside the live stage and compared with it, but changes nothing. A canary is called in its place for a part of the mail."},
			{"share", shareKind("the mail"), ``, false, "How much of the mail a canary gets, by connection: of that which `when` selects, if there is one."},
			{"when", conditionKind(), ``, false, "Which mail a canary gets; it needs this or share."},
		},
		blocks: []*blockSpec{configSpec("Settings of the candidate; those of the stage if left out.")},
	}
}

func breakerSpec() *blockSpec {
	return &blockSpec{
		name: "breaker", count: always, doc: "A stage that fails again and again is not called for a while: on_error is applied at once.",
		args: []argSpec{
			{"failures", numberKind(1, 1e6), `10`, false, "Failures in a row until it is not called. A public client network (/24, /48) counts once."},
			{"probe", durationKind(time.Millisecond), `"1s"`, false, "How long until it is tried again. The time doubles with each failed trial, up to five minutes."},
		},
	}
}

func routingSpec() *blockSpec {
	return &blockSpec{
		name: "routing", count: optional, doc: "Where accepted mail goes: the first rule that matches a recipient. The last one must match all.",
		blocks: []*blockSpec{{
			name: "rule", count: many, doc: "A domain that a rule delivers locally, or that it lists with accept = true, is taken from anyone.",
			args: []argSpec{
				{"domains", listKind[string](domainKind(), "list of domains"), ``, false, "The domains it matches; \".example.org\" matches the subdomains. All if left out."},
				{"accept", boolKind(), `false`, false, "Take mail for these domains from anyone."},
				{"route", refKind("route"), ``, true, "The way out."},
			},
			blocks: []*blockSpec{recipientsSpec()},
		}},
	}
}

func routeSpec() *blockSpec {
	return &blockSpec{
		name: "route", labels: []string{"name"}, count: many, example: routeExample, doc: "A way out. It holds exactly one of the blocks maildir, mx, smarthost, discard.",
		args: []argSpec{
			{"pipeline", refKind("pipeline"), ``, false, "The stages that its deliveries pass, in the phases route, predeliver, result and bounce; none if left out."},
			{"retry", retryKind(), `["1m", "5m", "15m", "1h", "4h"]`, false, "Waiting times between attempts; the last one repeats. `backoff(\"1m\", \"4h\")` makes a list of times that double."},
			{"jitter", shareKind("the waiting time"), ``, false, "Each waiting time becomes longer by a random part of itself, up to this share, so that what failed together is not tried together. None if left out."},
			{"rate", rateKind(), ``, false, "Messages per time to one next hop, by MX to all domains with the same mail exchangers. They go out evenly: at once only what one second may bring. A message counts once for each transaction, of up to 100 recipients. No limit if left out."},
			{"expire", durationKind(time.Second), `"5d"`, false, "Age at which a message that could not be delivered fails for good."},
			{"dsn", enumKind("off", "headers", "full"), `"headers"`, false, "What senders are told of this route's deliveries: nothing; what they want to hear (without a word from them: when a message fails for good), with the message's header; or that, and the whole message of up to 64 KiB back to who asks for it with RET=FULL."},
			{"delay_warning", durationKind(time.Minute), ``, false, "Tell senders once that a message is still not delivered after this time, unless they asked not to hear of it. If left out, only those who ask with NOTIFY=DELAY are told, after 4 hours."},
		},
		blocks: []*blockSpec{classSpec(), maildirSpec(), mxSpec(), smarthostSpec(), {name: "discard", count: optional, doc: "Drops everything."}},
	}
}

func classSpec() *blockSpec {
	return &blockSpec{
		name: "class", labels: []string{"name"}, count: many, example: classExample,
		doc: "Times of its own for mail of some priorities. A listener, a header field or a stage sets the priority of a message. Priorities in no class have the times of the route, and so has what a class leaves out.",
		args: []argSpec{
			{"lowest", priorityKind(), `-100`, false, "The lowest priority in the class."},
			{"highest", priorityKind(), `100`, false, "The highest priority in the class. No priority is in two classes of a route."},
			{"retry", retryKind(), ``, false, "As in the route."},
			{"jitter", shareKind("the waiting time"), ``, false, "As in the route."},
			{"expire", durationKind(time.Second), ``, false, "As in the route."},
			{"delay_warning", durationKind(time.Minute), ``, false, "As in the route."},
		},
	}
}

func priorityKind() kind { return numberKind(-mail.MaxPriority, mail.MaxPriority) }

func retryKind() kind {
	return listKind[time.Duration](durationKind(time.Millisecond), "list of durations")
}

func maildirSpec() *blockSpec {
	return &blockSpec{
		name: "maildir", count: optional, doc: "Delivers into Maildir folders: `<root>/<domain>/<local-part>`.",
		args: []argSpec{
			{"root", folderKind(), `"mail"`, false, "A relative path starts at data_dir."},
			{"mailboxes", listKind[string](mailboxKind(), "list of addresses"), `[]`, false, "Addresses that have a mailbox. One whose folder exists need not be listed."},
			{"create", boolKind(), `false`, false, "Make a mailbox for any address when its first message comes."},
		},
	}
}

func mxSpec() *blockSpec {
	return &blockSpec{
		name: "mx", count: optional, doc: "Delivers to the hosts that DNS names for the recipient's domain.",
		args: []argSpec{
			tlsModeArg(),
			{"port", numberKind(1, 65535), `25`, false, "The port of every host."},
			{"allow_private", boolKind(), `false`, false, "Loopback and private addresses may be next hops."},
			connectionsArg(),
			sourcesArg(),
		},
	}
}

func smarthostSpec() *blockSpec {
	return &blockSpec{
		name: "smarthost", count: optional, doc: "Hands everything to fixed hosts. It needs host or hosts.",
		args: []argSpec{
			{"host", peerKind(25), ``, false, "The host, when there is one."},
			{"hosts", listKind[string](peerKind(25), "list of host:port"), ``, false, "The hosts; the first one that answers is taken."},
			tlsModeArg(),
			connectionsArg(),
			sourcesArg(),
		},
	}
}

func tlsModeArg() argSpec {
	return argSpec{"tls", enumKind("opportunistic", "required", "off"), `"opportunistic"`, false, "STARTTLS: when offered, without checking the certificate; always, with a valid certificate; or never."}
}

func connectionsArg() argSpec {
	return argSpec{"connections", numberKind(1, 1000), `4`, false, "Connections at once to one next hop, by MX to all domains with the same mail exchangers."}
}
