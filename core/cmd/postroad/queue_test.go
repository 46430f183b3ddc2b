// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"
	"time"

	"github.com/postroad-mail/postroad/core/mail"
)

// Mail that no stage gave a route waits for the route that the rules name.
func TestQueueListByTheRouteOfTheRules(t *testing.T) {
	file, addr := running(t)
	if out, errs, code := call("", "send", "--server", addr, "--to", "a@elsewhere.test", "--subject", "odd", "x"); code != 0 {
		t.Fatalf("send: %d %s%s", code, out, errs)
	}
	for route, want := range map[string]string{"nowhere": "a@elsewhere.test", "boxes": "No message matches."} {
		out, errs, code := call("", "-c", file, "queue", "list", "--route", route)
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("--route %s: exit code %d, %s%s, want %q", route, code, out, errs, want)
		}
	}
}

// A header may hold what a terminal would obey.
func TestQueueShowPrintsNoControlCharacters(t *testing.T) {
	file, addr := running(t)
	eml := writeConfig(t, "Subject: odd \x1b[2J\a\nX-Eight: \u009b31m\n\nx\n")
	if out, errs, code := call("", "send", "--server", addr, "--to", "a@home.test", "--file", eml); code != 0 {
		t.Fatalf("send: %d %s%s", code, out, errs)
	}
	list, _, _ := call("", "-c", file, "queue", "list")
	lines := strings.Split(list, "\n")
	if len(lines) < 2 {
		t.Fatalf("list: %s", list)
	}
	out, _, code := call("", "-c", file, "queue", "show", strings.Fields(lines[1])[0])
	if code != 0 || !strings.Contains(out, "Subject: odd") || strings.ContainsAny(out, "\x1b\a\u009b\r") {
		t.Errorf("%d %q", code, out)
	}
}

// Which code touched a message is told with it.
func TestQueueShowPrintsStagesAndScores(t *testing.T) {
	var b strings.Builder
	printMessage(&b, mail.QueueEntry{ID: "1", Stages: []mail.StageMark{{Stage: "filter", Code: "sha256:00ff"}},
		Scores: []mail.Score{{Stage: "filter", Symbol: "ODD\x1b", Milli: -1500}}})
	if !strings.Contains(b.String(), "\nstage filter: sha256:00ff\nscore ODD\uFFFD by stage filter: -1.5\n") {
		t.Errorf("%q", b.String())
	}
}

// What a client asked for by extensions of SMTP is told with the message.
func TestQueueShowPrintsWhatWasAskedFor(t *testing.T) {
	var b strings.Builder
	printMessage(&b, mail.QueueEntry{ID: "1", Asked: "REQUIRETLS", Recipients: []mail.QueueRecipient{{Address: "a@x.test", Asked: "RRVS=2029-01-31T12:00:00Z;C\x1b"}}})
	for _, want := range []string{"\nasked for: REQUIRETLS\n", "\n  asked for: RRVS=2029-01-31T12:00:00Z;C\uFFFD\n"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not in\n%s", want, b.String())
		}
	}
}

func TestPrintWarning(t *testing.T) {
	at := time.Date(2030, 1, 1, 9, 0, 0, 0, time.UTC)
	for want, r := range map[string]mail.QueueRecipient{
		"":                                     {},
		"  the sender was told of the delay\n": {Warned: true},
		"  the sender was told of the delay at 2030-01-01T09:00:00Z\n": {Warned: true, WarnedAt: at},
	} {
		var b strings.Builder
		if printWarning(&b, &r); b.String() != want {
			t.Errorf("%q, want %q", b.String(), want)
		}
	}
}

// The class whose times a recipient has is told with the route.
func TestQueueExplainNamesTheClass(t *testing.T) {
	var b strings.Builder
	explain(&b, mail.QueueEntry{ID: "1", Priority: -20, Recipients: []mail.QueueRecipient{
		{Address: "a@x.test", Now: "waiting", Route: "internet", Class: "newsletters"}, {Address: "b@x.test", Now: "waiting", Route: "boxes"}}})
	for _, want := range []string{"\npriority -20\n", "\n  route internet (class newsletters), attempts", "\n  route boxes, attempts"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not in\n%s", want, b.String())
		}
	}
}
