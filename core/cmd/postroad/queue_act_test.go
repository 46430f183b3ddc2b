// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/postroad-mail/postroad/core/internal/control"
	"github.com/postroad-mail/postroad/core/mail"
)

// queueOf calls queue commands of one relay.
type queueOf struct {
	t    *testing.T
	file string
}

func (q queueOf) call(args ...string) (out, errs string, code int) {
	return call("", append([]string{"-c", q.file, "queue"}, args...)...)
}

// want calls a command that has to say something.
func (q queueOf) want(code int, say string, args ...string) string {
	q.t.Helper()
	out, errs, got := q.call(args...)
	if got != code || !strings.Contains(out+errs, say) {
		q.t.Errorf("%v: exit code %d, %s%s, want %d and %q", args, got, out, errs, code, say)
	}
	return out
}

func (q queueOf) list(args ...string) (ms []mail.QueueEntry) {
	q.t.Helper()
	out, errs, _ := q.call(append([]string{"list", "--json"}, args...)...)
	if err := json.Unmarshal([]byte(out), &ms); err != nil {
		q.t.Fatalf("%v: %s%s", err, out, errs)
	}
	return ms
}

// until waits until what list says is so.
func (q queueOf) until(ok func([]mail.QueueEntry) bool, args ...string) []mail.QueueEntry {
	q.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; runtime.Gosched() {
		ms := q.list(args...)
		if ok(ms) {
			return ms
		}
		if time.Now().After(deadline) {
			q.t.Fatalf("it does not come about: %+v", ms)
		}
	}
}

func atRest(ms []mail.QueueEntry) bool {
	for _, m := range ms {
		for _, r := range m.Recipients {
			if r.Status == "queued" && r.Now != "waiting" {
				return false
			}
		}
	}
	return true
}

// waiting starts a relay with deferred messages to these recipients.
func waiting(t *testing.T, to ...string) queueOf {
	file, addr := running(t)
	for _, r := range to {
		if out, errs, code := call("", "send", "--server", addr, "--from", "anna@sender.test", "--to", r, "--subject", "x", "text"); code != 0 {
			t.Fatalf("send: %d %s%s", code, out, errs)
		}
	}
	q := queueOf{t, file}
	q.until(func(ms []mail.QueueEntry) bool { return len(ms) == len(to) && atRest(ms) })
	return q
}

func TestActBySelector(t *testing.T) {
	q := waiting(t, "a@one.test", "b@two.test", "c@two.test")
	q.want(0, "2 messages, 2 recipients", "hold", "--domain", "two.test", "--reason", "why")
	q.want(0, "b@two.test", "list", "--rcpt", "B@TWO.test")
	q.want(0, "No message matches", "list", "--older-than", "1d")
	q.want(0, "c@two.test", "list", "--newer-than", "1h", "--next-hop", "smarthost nowhere", "--reply", "451 4.4.1", "--sender", "@sender.test")
	q.want(exitUsage, "tomorrow", "list", "--older-than", "tomorrow")
	if n := len(q.list("--state", "held")); n != 0 {
		t.Errorf("a dry run held %d messages", n)
	}
	q.want(0, "2 messages held.", "hold", "--domain", "two.test", "--for", "2h", "--reason", "why", "--yes")
	if ms := q.list("--state", "held"); len(ms) != 2 || time.Until(ms[0].Until) < time.Hour {
		t.Errorf("%+v", ms)
	}
	q.want(0, "1 message released.", "release", "--rcpt", "b@two.test", "--yes")
	q.want(exitData, "no route", "reroute", "--all", "--to", "nothing", "--reason", "why", "--yes")
	q.want(0, "1 message rerouted", "reroute", "--rcpt", "b@two.test", "--to", "boxes", "--reason", "why", "--yes")
	q.until(func(ms []mail.QueueEntry) bool { return len(ms) == 0 }, "--rcpt", "b@two.test") // delivered there
	q.want(exitUsage, "--all", "drop", "--reason", "why", "--yes")
	q.want(exitData, "5xx", "bounce", "--all", "--with", "250 fine", "--reason", "why", "--yes")
	q.want(0, "1 message bounced.", "bounce", "--domain", "one.test", "--with", "550 5.1.1 gone for good", "--reason", "why", "--yes")
	if ms := q.list("--domain", "one.test"); len(ms) != 0 {
		t.Errorf("bounced mail is still there: %+v", ms)
	}
	ms := q.until(func(ms []mail.QueueEntry) bool { return len(ms) == 1 && atRest(ms) }, "--sender", "<>")
	if ms[0].Recipients[0].Address != "anna@sender.test" {
		t.Errorf("the report is %+v", ms)
	}
	out := q.want(0, "waiting", "explain", ms[0].ID)
	if !strings.Contains(out, "attempt 1: 451") || !strings.Contains(out, "given up at") {
		t.Errorf("explain: %s", out)
	}
	q.want(0, "held", "explain", q.list("--domain", "two.test")[0].ID)
	q.want(exitData, "no such message", "explain", "NONE")
}

func TestSuspendAndResume(t *testing.T) {
	q := waiting(t, "a@one.test")
	q.want(0, "Nothing is suspended", "suspensions")
	q.want(exitUsage, "at least one", "suspend", "--for", "1h", "--reason", "why")
	q.want(0, "1 message, 1 recipient", "suspend", "--domain", "one.test", "--for", "1h", "--reason", "why")
	q.want(exitData, "no route", "suspend", "--route", "nothing", "--for", "1h", "--reason", "why", "--yes")
	q.want(0, "1 message of the queue", "suspend", "--domain", "One.test", "--for", "1h", "--reason", "why not", "--yes")
	q.want(0, "suspended (domain one.test) by operator", "explain", q.list()[0].ID)
	var ss []mail.Suspension
	out := q.want(0, "why not", "suspensions", "--json")
	if err := json.Unmarshal([]byte(out), &ss); err != nil || len(ss) != 1 {
		t.Fatalf("%v %s", err, out)
	}
	q.want(0, "one.test", "suspensions")
	q.want(exitUsage, "--all", "resume")
	q.want(0, "1 suspension ended", "resume", ss[0].ID)
	q.want(exitData, "no suspension", "resume", ss[0].ID)
	q.want(0, "No suspension is meant", "resume", "--all")
	q.want(0, "0 suspensions ended", "resume", "--all", "--yes")
}

func TestResumeBySelector(t *testing.T) {
	q := waiting(t, "a@one.test")
	for _, what := range [][]string{{"--tenant", "shop"}, {"--tenant", "shop", "--domain", "one.test"}, {"--campaign", "spring"}, {"--route", "nowhere"}} {
		q.want(0, "Suspension", append([]string{"suspend", "--for", "1h", "--reason", "why", "--yes"}, what...)...)
	}
	q.want(0, "This ends 2 suspensions. Nothing was done", "resume", "--tenant", "shop")
	q.want(0, "This ends 4 suspensions. Nothing was done", "resume", "--all")
	q.want(exitUsage, "or --all", "resume", "--all", "--tenant", "shop")
	q.want(exitUsage, "or --all", "resume", "ID", "--tenant", "shop")
	q.want(0, "0 suspensions ended", "resume", "--tenant", "shop", "--route", "nowhere", "--yes")
	q.want(0, "1 suspension ended", "resume", "--domain", "@One.test", "--yes")
	q.want(0, "1 suspension ended", "resume", "--tenant", "shop", "--yes")
	q.want(0, "1 suspension ended", "resume", "--route", "nowhere", "--yes")
	q.want(0, "spring", "suspensions")
	q.want(0, "1 suspension ended", "resume", "--all", "--yes")
	q.want(0, "Nothing is suspended", "suspensions")
}

func TestExportAndImport(t *testing.T) {
	q := waiting(t, "a@one.test", "b@two.test")
	dir := t.TempDir()
	all, two := filepath.Join(dir, "all"), filepath.Join(dir, "two")
	q.want(0, "2 messages written", "export", all, "--all")
	q.want(exitUsage, "exists already", "export", all, "--all")
	q.want(exitUsage, "--reason", "export", two, "--all", "--remove")
	q.want(exitData, "2 messages refused", "import", all)
	before := q.list("--domain", "two.test")[0]
	q.want(0, "This is for 1 message, ", "export", two, "--domain", "two.test", "--remove", "--reason", "moving")
	if _, err := os.Stat(two); err == nil {
		t.Error("a dry run has written the export")
	}
	q.want(0, "1 message written", "export", two, "--domain", "two.test", "--remove", "--reason", "moving", "--yes")
	if n := len(q.list()); n != 1 {
		t.Errorf("%d messages are left", n)
	}
	q.want(0, "1 message", "import", two)
	q.want(0, "1 message queued, durably", "import", two, "--yes")
	after := q.list("--domain", "two.test")[0]
	if after.ID != before.ID || after.State != "deferred" || after.Recipients[0].Attempts != before.Recipients[0].Attempts || after.Size != before.Size {
		t.Errorf("before %+v, after %+v", before, after)
	}
	q.want(exitData, "1 message refused", "import", two, "--yes")
	b, err := os.ReadFile(two)
	if err != nil {
		t.Fatal(err)
	}
	bad := filepath.Join(dir, "bad")
	if err := os.WriteFile(bad, b[:len(b)-9], 0o600); err != nil {
		t.Fatal(err)
	}
	q.want(exitData, "not a whole export", "import", bad, "--yes")
	if left, _ := filepath.Glob(filepath.Join(dir, "*.part-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// What a relay that does not run can be asked, it can be asked by any index.
func TestStoppedQueueBySelector(t *testing.T) {
	file, addr, stop := startAndStop(t)
	if out, errs, code := call("", "send", "--server", addr, "--to", "a@one.test", "--to", "b@two.test", "--subject", "x", "text"); code != 0 {
		t.Fatalf("send: %d %s%s", code, out, errs)
	}
	q := queueOf{t, file}
	q.want(0, "1 message of the queue", "suspend", "--domain", "two.test", "--for", "1h", "--reason", "why", "--yes")
	stop()
	id := q.list("--rcpt", "b@two.test")[0].ID
	q.want(0, "suspended (domain two.test)", "explain", id)
	q.want(0, "two.test", "suspensions")
	q.want(0, "1 message written", "export", filepath.Join(t.TempDir(), "x"), "--all")
	q.want(exitUnavailable, "no relay is running", "bounce", "--all", "--reason", "x", "--yes")
}

func TestTheOldestUnitOfASpanIsADay(t *testing.T) {
	for text, want := range map[string]time.Duration{"3d": 72 * time.Hour, "90s": 90 * time.Second, "1h30m": 90 * time.Minute} {
		var s span
		if err := s.UnmarshalText([]byte(text)); err != nil || time.Duration(s) != want {
			t.Errorf("%s: %v, %v", text, time.Duration(s), err)
		}
	}
	for _, text := range []string{"", "d", "-1d", "-5m", "0s", "5"} {
		var s span
		if err := s.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is %v", text, time.Duration(s))
		}
	}
}

// A dry run says how much is meant, in JSON as well.
func TestDryRunInJSON(t *testing.T) {
	q := waiting(t, "a@one.test")
	var d control.Done
	out, _, _ := q.call("drop", "--all", "--reason", "x", "--json")
	if err := json.Unmarshal([]byte(out), &d); err != nil || d.Did || d.Messages != 1 || d.Recipients != 1 || d.Octets == 0 || len(d.First) != 1 {
		t.Errorf("%v %s", err, out)
	}
}
