// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Reference returns the reference of pipeline.hcl as Markdown, printed from
// the table that the checks use.
func Reference() string {
	w := &strings.Builder{}
	w.WriteString(referenceHead)
	for _, b := range grammar().blocks {
		writeBlock(w, b, "")
	}
	writeValues(w)
	writePhases(w)
	writeFacts(w)
	writeFunctions(w)
	return w.String()
}

const referenceHead = `# Reference of pipeline.hcl

<!-- Printed from core/internal/config/blocks.go. To renew: go test ./core/internal/config -run TestReference -update -->

` + "`postroad check`" + ` validates a file and reports all faults at once; ` + "`postroad check -v`" + ` prints it with every
default and grant filled in. Units are always written: ` + "`\"25MiB\"`, `\"250ms\"`, `\"5d\"`, `\"100/1m\"`" + `. References
are written without quotes: ` + "`plugin.filter`" + `. The order of the text is the order of execution. A block that is
left out counts as an empty one, unless the text below says what its absence means.

`

func writeBlock(w *strings.Builder, b *blockSpec, parent string) {
	path := strings.TrimPrefix(parent+" "+b.name, " ")
	fmt.Fprintf(w, "## %s\n\n`%s` %s\n\n", path, header(b), countText(b, parent))
	fmt.Fprintf(w, "%s\n\n", b.doc)
	if len(b.args) > 0 {
		w.WriteString("| argument | value | default | meaning |\n|---|---|---|---|\n")
		for _, a := range b.args {
			fmt.Fprintf(w, "| `%s` | %s | %s | %s |\n", a.name, code(a.kind.name), defaultText(a), escape(a.doc))
		}
		w.WriteString("\n")
	}
	if b.example != "" {
		fmt.Fprintf(w, "```hcl\n%s```\n\n", b.example)
	}
	for _, inner := range b.blocks {
		writeBlock(w, inner, path)
	}
}

func countText(b *blockSpec, parent string) string {
	where := "at the top level"
	if parent != "" {
		where = "inside " + parent
	}
	switch b.count {
	case many:
		return where + ", any number of times"
	case optional:
		return where + ", at most once; leaving it out differs from leaving it empty"
	}
	return where + ", at most once"
}

func defaultText(a argSpec) string {
	switch {
	case a.required:
		return "required"
	case a.def == "":
		return "-"
	}
	return "`" + a.def + "`"
}

// code sets the words of an enumeration as code.
func code(kind string) string {
	if strings.HasPrefix(kind, `"`) {
		return "`" + strings.ReplaceAll(kind, " ", "` `") + "`"
	}
	return kind
}

func escape(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

// writeValues explains the kinds of values that the tables name.
func writeValues(w *strings.Builder) {
	w.WriteString("## Values\n\n| value | is written as |\n|---|---|\n")
	values := map[string]string{"number": "a whole number; a text of digits, such as env gives, is converted"}
	collectValues(grammar(), values)
	for _, name := range slices.Sorted(maps.Keys(values)) {
		fmt.Fprintf(w, "| %s | %s |\n", name, escape(values[name]))
	}
	w.WriteString("\n")
}

// collectValues notes the kinds that are not spelled out in the tables. Bounds
// differ from argument to argument and stand in the diagnostics.
func collectValues(b *blockSpec, values map[string]string) {
	for _, a := range b.args {
		name := a.kind.name
		if _, known := values[name]; !known && !strings.HasPrefix(name, `"`) && name != "list of names" && name != "list of phases" {
			values[name], _, _ = strings.Cut(a.kind.want, ", at least")
		}
	}
	for _, inner := range b.blocks {
		collectValues(inner, values)
	}
}

// writePhases explains when stages are called.
func writePhases(w *strings.Builder) {
	w.WriteString("## Phases\n\nA stage is called in the phases that its plugin serves. While mail comes in, a listener's pipeline is called; " +
		"while it goes out, a route's. A stage that would never be called where it stands is a fault; one whose plugin asks for no phase with its configuration, or for none that comes to pass, is a warning.\n\n" +
		"| phase | pipeline of | when |\n|---|---|---|\n")
	when := map[string]string{
		"connect": "before the banner", "tls": "after STARTTLS (no listener of this version offers implicit TLS yet)", "helo": "after EHLO or HELO", "auth": "after AUTH",
		"mail": "after MAIL FROM", "rcpt": "after each RCPT TO", "data": "after DATA, before the client sends the message",
		"headers": "the header is complete", "body": "a piece of the body came in; needs isolation message or session",
		"message": "the whole message came in", "queued": "the message is in the queue, synced",
		"route": "before a next hop is chosen", "predeliver": "before an attempt", "result": "after an attempt",
		"bounce": "before a report to the sender is made", "tick": "at the interval of the grant tick, without a message",
		"reset": "the transaction is over, whatever became of it; needs isolation message or session",
	}
	for _, phase := range phaseNames() {
		user := "a listener"
		switch {
		case phase == "tick":
			user = "either"
		case slices.Contains(deliveryPhases(), phase):
			user = "a route"
		}
		fmt.Fprintf(w, "| `%s` | %s | %s |\n", phase, user, when[phase])
	}
	w.WriteString("\n")
}

func writeFacts(w *strings.Builder) {
	w.WriteString("## Facts\n\nA `when` asks for facts. A fact must be known in every phase in which the stage's plugin is called. " +
		"A fact of a recipient in the phase message selects the recipients that the stage sees.\n\n" +
		"| fact | type | known in | meaning |\n|---|---|---|---|\n")
	for _, name := range slices.Sorted(maps.Keys(factTable)) {
		f := factTable[name]
		fmt.Fprintf(w, "| `%s` | %s | %s | %s |\n", name, f.kind, knownText(f.phases), f.doc)
	}
	w.WriteString("\nOperators, the loosest first: `||`, `&&`, `== !=`, `< <= > >=`, `!`, and parentheses. `&&` and `||` stop as soon as they are decided. " +
		"A size is compared with a text that has a unit: `message.size > \"1MiB\"`, a score with a number of up to three decimals: `message.score >= 4.5`. A header field can repeat, so `message.header` is a list.\n\n")
}

func writeFunctions(w *strings.Builder) {
	w.WriteString("## Functions\n\nAnywhere:\n\n| function | value |\n|---|---|\n" +
		"| `env(name, default)` | the environment variable, or the default when it is not set; without a default that is a fault |\n" +
		"| `split(separator, text)` | the parts of the text without surrounding white space and without empty ones |\n" +
		"| `backoff(first, last)` | waiting times that double from the first to the last: `backoff(\"1m\", \"5m\")` is `[\"1m\", \"2m\", \"4m\", \"5m\"]` |\n" +
		"| `cidr_contains(network, ip)` | whether the address lies in the network |\n" +
		"| `secret(name)` | the variable POSTROAD_SECRET_NAME, else the file `name` in the folder CREDENTIALS_DIRECTORY, else the file `secrets/name` beside the configuration; never printed |\n" +
		"\nIn a `when`, with facts:\n\n| function | value |\n|---|---|\n")
	funcs := conditionFuncs()
	for _, name := range slices.Sorted(maps.Keys(funcs)) {
		fmt.Fprintf(w, "| `%s(%s)` | %s |\n", name, strings.Join(funcs[name].params, ", "), funcs[name].doc)
	}
}
