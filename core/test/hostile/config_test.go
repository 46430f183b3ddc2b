// SPDX-License-Identifier: Apache-2.0

package hostile

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/postroad-mail/postroad/core/mail"
)

// calmConfig is a relay with honest plugins alone.
var calmConfig = config("", "", "")

// config is a relay with a listener that honest sessions use, and what else it
// has: blocks, what stands in the route, and the honest plugin's place.
func config(blocks, route, extra string) string {
	path, err := filepath.Abs(honest)
	if err != nil {
		panic(err)
	}
	return fmt.Sprintf(`
server {
  hostname = "relay.test"
  log { level = "debug" }
}
admin { address = "127.0.0.1:0" }
listener "smtp" "calm" {
  address    = "127.0.0.1:0"
  pipeline   = pipeline.calm
  relay_from = ["127.0.0.0/8"]
}
plugin "honest" {
  source = %q
  grant {
    read = ["envelope", "headers"]
  }
}
pipeline "calm" {
  stage "alone" { plugin = plugin.honest }
}
routing {
  rule { route = route.next }
}
route "next" {
  smarthost { host = env("SINK", "") }
  %s
}
store "s" { engine = "memory" }
bucket "s" { rate = "1000000/1s" }
%s
%s
`, path, route, blocks, extra)
}

// config is a relay with a listener of its own for the attack, or for an attack
// on the way out, a pipeline of the route.
func (a attack) config(web string) string {
	route, pipeline := "", "attacked"
	if a.outbound() {
		route, pipeline = "pipeline = pipeline.attacked", "calm"
	}
	return config(fmt.Sprintf(`
listener "smtp" "attacked" {
  address    = "127.0.0.1:0"
  pipeline   = pipeline.%s
  relay_from = ["127.0.0.0/8"]
  limits { message_size = "4MiB" }
  tls {
    cert = "cert.pem"
    key  = "key.pem"
  }
}
plugin "hostile" {
  source    = "./hostile.wasm"
  phases    = [%s]
  isolation = %q
  %s
  %s
  limits {
    depth     = 200
    instances = %s
    %s
  }
}
pipeline "attacked" {
  %s
}
`, pipeline, a.called(), a.isolation(), a.mode(), a.grant(web), a.value("instances", "16"), a.limits(), a.stages()), route, "")
}

// outbound reports whether the attack is on the way out.
func (a attack) outbound() bool { return a.phase >= mail.PhaseRoute && a.phase <= mail.PhaseBounce }

// called are the phases that the plugin is called in.
func (a attack) called() string {
	names := []string{fmt.Sprintf("%q", a.phase.String())}
	for _, p := range strings.FieldsFunc(a.value("also", ""), func(r rune) bool { return r == '+' }) {
		names = append(names, fmt.Sprintf("%q", p))
	}
	return strings.Join(names, ", ")
}

func (a attack) isolation() string {
	if a.phase == mail.PhaseBody || a.phase == mail.PhaseReset {
		return a.value("isolation", "message")
	}
	return a.value("isolation", "call")
}

func (a attack) mode() string {
	if a.has("filter") {
		return `mode = "filter"`
	}
	return ""
}

func (a attack) grant(web string) string {
	if a.has("alone") {
		return ""
	}
	return fmt.Sprintf(`grant {
    read    = ["envelope", "headers", "body"]
    write   = ["headers", "body", "recipients", "sender", "queue", "ehlo"]
    routes  = ["*"]
    kv      = [store.s]
    buckets = [bucket.s]
    dns     = true
    http    = [%q, "never.test"]
    emit    = true
    secrets = ["url"]
    tick    = "1m"
  }`, web)
}

// limits are small, so that a guest is stopped soon. Those that wait have fuel
// enough to reach their deadline instead, those that use up their shares have it
// to be told.
func (a attack) limits() string {
	memory, fuel, deadline := a.value("memory", "2MiB"), "2000000", "1m"
	switch {
	case a.has("slow"):
		fuel, deadline = "1000000000000", "200ms"
	case a.has("rich"):
		fuel = "10000000000"
	}
	return fmt.Sprintf("memory = %q\n    fuel = %s\n    message_fuel = %s0\n    deadline = %q\n    message_deadline = %[4]q\n    emit = \"1000000/1h\"", memory, fuel, strings.TrimSuffix(fuel, "0"), deadline)
}

// stages is what stands in the pipeline: the plugin alone, or beside an honest
// one that it would like to replace.
func (a attack) stages() string {
	inside := ""
	if a.number != "" {
		inside = fmt.Sprintf("config {\n      number = %s\n    }", a.number)
	}
	breaker := "breaker {\n      failures = 1000000\n    }"
	if a.has("shadow") || a.has("canary") {
		mode, share := "shadow", ""
		if a.has("canary") {
			mode, share = "canary", `share = "100%"`
		}
		return fmt.Sprintf("stage \"hostile\" {\n    plugin = plugin.honest\n    %s\n    candidate {\n      plugin = plugin.hostile\n      mode = %q\n      %s\n      %s\n    }\n    %s\n  }", a.when(), mode, share, inside, breaker)
	}
	if a.has("breaker") {
		breaker = ""
	}
	good := "stage \"good\" { plugin = plugin.honest }"
	if a.outbound() { // where the honest plugin has nothing to do
		good = ""
	}
	return fmt.Sprintf("stage \"hostile\" {\n    plugin = plugin.hostile\n    %s\n    %s\n    %s\n  }\n  %s", a.when(), inside, breaker, good)
}

// when selects the mail that is attacked. Before MAIL there is nothing to select
// by: there the attack has its listener for itself.
func (a attack) when() string {
	if a.phase < mail.PhaseMail || a.phase == mail.PhaseTick {
		return ""
	}
	return `when = envelope.sender_domain == "attack.test"`
}
