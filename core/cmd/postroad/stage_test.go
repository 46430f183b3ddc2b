// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/postroad-mail/postroad/core/internal/control"
	"github.com/postroad-mail/postroad/core/relay"
)

// rolloutConfig is testConfig with a candidate, and a second stage without one.
func rolloutConfig() string {
	text := strings.Replace(testConfig, `plugin "filter" { source = "builtin:filter" }`, `plugin "filter" { source = "builtin:filter" }
plugin "next" { source = "builtin:filter" }`, 1)
	return strings.Replace(text, "  stage \"filter\" {\n", `  stage "other" { plugin = plugin.filter }
  stage "filter" {
    candidate {
      plugin = plugin.next
      config { deny_sender = ["*@spam.test"] }
    }
`, 1)
}

// runs starts a relay on a file and returns it and a function that ends it.
func runs(t *testing.T, file string, log ...io.Writer) (*relay.Relay, func()) {
	t.Helper()
	r, err := relay.Open(context.Background(), relay.Options{ConfigFile: file, LogOutput: io.MultiWriter(append(log, t.Output())...)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	return r, func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// stages lists the stages by the command line.
func stages(t *testing.T, file string) []control.StageState {
	t.Helper()
	out, errs, code := call("", "-c", file, "--json", "stage", "list")
	var list []control.StageState
	if err := json.Unmarshal([]byte(out), &list); err != nil || code != 0 {
		t.Fatalf("stage list: %d %s%s (%v)", code, out, errs, err)
	}
	return list
}

func TestStageCommands(t *testing.T) {
	file := writeConfig(t, rolloutConfig())
	_, end := runs(t, file)
	defer end()
	list := stages(t, file)
	if len(list) != 2 || list[0].Stage != "other" || list[0].Candidate != "" || list[1].Candidate != "next" || list[1].Mode != "shadow" || list[1].State != "live" {
		t.Fatalf("stages %+v", list)
	}
	if len(list[0].Code) != len("sha256:")+64 || list[1].CandidateCode != list[0].Code {
		t.Errorf("codes %q, %q", list[0].Code, list[1].CandidateCode)
	}
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"stage", "list"}, 0, "next"},
		{[]string{"stage", "promote", "filter"}, 0, "plugin.next has taken its place"},
		{[]string{"stage", "list"}, 0, "promoted"},
		{[]string{"check"}, 0, "override: stage in/filter: its candidate is promoted since"},
		{[]string{"--json", "check"}, 0, `"overrides"`},
		{[]string{"--json", "stage", "rollback", "in/filter"}, 0, `"State": "off"`},
		{[]string{"check"}, 0, "its candidate is rolled back"},
		{[]string{"stage", "reset", "in/filter"}, 0, "does what pipeline.hcl says"},
		{[]string{"stage", "diff", "filter"}, 0, "No difference"},
		{[]string{"--json", "stage", "diff", "filter"}, 0, "[]"},
		{[]string{"stage", "diff", "other"}, exitData, "has no candidate"},
		{[]string{"stage", "promote", "other"}, exitData, "candidate block"},
		{[]string{"stage", "promote", "filters"}, exitData, "there are in/filter, in/other"},
		{[]string{"stage", "promote", "out/filter"}, exitData, `there is no stage "out/filter"`},
		{[]string{"stage", "promote"}, exitUsage, "<stage>"},
		{[]string{"stage", "--help"}, 0, "rollback"},
	} {
		out, errs, code := call("", append([]string{"-c", file}, c.args...)...)
		if code != c.code || !strings.Contains(out+errs, c.want) {
			t.Errorf("%v: exit code %d, %s%s", c.args, code, out, errs)
		}
	}
	if out, errs, code := call("", "-c", file, "check"); code != 0 || strings.Contains(out+errs, "override") {
		t.Errorf("after reset check says %d %s%s", code, out, errs)
	}
}

// A shadow is compared and changes nothing; promoted it decides from the next
// message on, in sessions that are open too; rolled back it is not called.
func TestACandidateFromShadowToStageAndBack(t *testing.T) {
	file := writeConfig(t, rolloutConfig())
	r, end := runs(t, file)
	defer end()
	client, err := smtp.Dial(r.Addr("in").String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	send := func() string { // returns the reply to MAIL or to the message
		t.Helper()
		err := client.SendMail("a@spam.test", []string{"b@home.test"}, strings.NewReader("Subject: x\r\n\r\nx\r\n"))
		if err == nil {
			return "250"
		}
		client.Reset()
		return err.Error()
	}
	stage := func(args ...string) string {
		t.Helper()
		out, errs, code := call("", append([]string{"-c", file, "stage"}, args...)...)
		if code != 0 {
			t.Fatalf("%v: %d %s%s", args, code, out, errs)
		}
		return out
	}
	counts := func() (compared, differed, failed int64) {
		t.Helper()
		s := stages(t, file)[1]
		return s.Calls, *s.Differed, s.Failed
	}

	if reply := send(); reply != "250" {
		t.Fatalf("with a shadow: %s", reply)
	}
	n, differed, failed := counts()
	if n == 0 || differed == 0 || failed != 0 {
		t.Errorf("compared %d, differed %d, failed %d", n, differed, failed)
	}
	if out := stage("diff", "filter"); !strings.Contains(out, "shadow") || !strings.Contains(out, "stage      not called") || !strings.Contains(out, "candidate  reject: 550") {
		t.Errorf("diff: %s", out)
	}

	stage("promote", "filter")
	if reply := send(); !strings.Contains(reply, "550") {
		t.Errorf("promoted: %s", reply)
	}
	stage("rollback", "filter")
	if reply := send(); reply != "250" {
		t.Errorf("rolled back: %s", reply)
	}
	if again, _, _ := counts(); again != n {
		t.Errorf("compared %d, after it was promoted and rolled back %d", n, again)
	}
	stage("reset", "filter")
	if reply := send(); reply != "250" {
		t.Errorf("reset: %s", reply)
	}
	if again, _, _ := counts(); again != 2*n {
		t.Errorf("compared %d after one more message, want %d", again, 2*n)
	}
}

// An override outlives the relay, and the stage's block in pipeline.hcl ends it.
func TestAnOverrideLastsUntilTheStageChanges(t *testing.T) {
	file := writeConfig(t, rolloutConfig())
	_, end := runs(t, file)
	if out, errs, code := call("", "-c", file, "stage", "promote", "filter"); code != 0 {
		t.Fatalf("%d %s%s", code, out, errs)
	}
	end()
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	state := func() string { t.Helper(); return stages(t, file)[1].State }

	write("# another comment\n" + strings.ReplaceAll(rolloutConfig(), "*@spam.test\"]", "*@spam.test\" ]"))
	r, end := runs(t, file)
	defer func() { end() }()
	if got := state(); got != "promoted" {
		t.Errorf("after a restart the stage is %s", got)
	}
	if err := r.Reload(context.Background()); err != nil || state() != "promoted" {
		t.Errorf("after a reload the stage is %s, %v", state(), err)
	}

	write(strings.ReplaceAll(rolloutConfig(), "spam.test", "other.test"))
	if _, errs, _ := call("", "-c", file, "check"); !strings.Contains(errs, "override promoted of stage in/filter is void: the stage's block in pipeline.hcl has changed") {
		t.Errorf("check says %s", errs)
	}
	if err := r.Reload(context.Background()); err != nil || state() != "live" {
		t.Errorf("after a change the stage is %s, %v", state(), err)
	}

	write(rolloutConfig())
	if err := r.Reload(context.Background()); err != nil || state() != "live" {
		t.Errorf("when the change is taken back the stage is %s, %v", state(), err)
	}
	if _, errs, _ := call("", "-c", file, "check"); strings.Contains(errs, "override") {
		t.Errorf("check says %s", errs)
	}
}

// What was decided about candidates is not guessed.
func TestADamagedFileOfOverridesIsAFault(t *testing.T) {
	file := writeConfig(t, rolloutConfig())
	path := filepath.Join(filepath.Dir(file), "data", "overrides.json")
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"{":              "unexpected end",
		`{"version": 2}`: "its version is 2",
		`{"version": 1, "overrides": {"in/filter": {"state": "on", "hash": "x"}}}`: `unknown state "on"`,
		strings.Repeat(" ", 1<<20+1): "are read at most",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, cmd := range []string{"check", "run"} {
			_, errs, code := call("", "-c", file, cmd)
			if code != exitConfig || !strings.Contains(errs, want) || !strings.Contains(errs, "overrides.json") || !strings.Contains(errs, "remove it") {
				t.Errorf("%.20s: %s gives %d %s", text, cmd, code, errs)
			}
		}
	}
}

func TestStageCommandsNeedARunningRelay(t *testing.T) {
	file := writeConfig(t, rolloutConfig())
	for _, args := range [][]string{{"stage", "list"}, {"stage", "promote", "filter"}, {"stage", "diff", "filter"}} {
		if _, errs, code := call("", append([]string{"-c", file}, args...)...); code != exitUnavailable || !strings.Contains(errs, "no relay is running") {
			t.Errorf("%v: %d %s", args, code, errs)
		}
	}
}

// What guests write cannot take over the terminal.
func TestDifferencesArePrintedHarmlessly(t *testing.T) {
	var out bytes.Buffer
	printDifferences(&out, control.StageState{Mode: "shadow"}, []control.Difference{{
		At: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC), ID: "01A", Phase: "message", Mode: "shadow",
		Live:      control.Decided{Verdict: "continue"},
		Candidate: control.Decided{Verdict: "reject", Reply: "550 5.7.1 no\a"},
		Edits:     []string{"only live: header_add X a\nb\x1b[2J"},
	}, {ID: "01B", Candidate: control.Decided{Error: "trap: unreachable"}}})
	text := out.String()
	for _, want := range []string{"2030-01-02T03:04:05Z  01A  phase message, shadow", "stage      continue", "only live: header_add X a b", "stage      not called", "candidate  reject: 550 5.7.1 no", "failed: trap"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	if strings.ContainsAny(text, "\x1b\a") {
		t.Errorf("control characters in %q", text)
	}
}
