// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/postroad-mail/postroad/core/internal/control"
)

type stageCmd struct {
	List     stageListCmd     `cmd:"" help:"List stages, their candidates, and how the two compare."`
	Promote  stagePromoteCmd  `cmd:"" help:"Let the candidate of a stage take its place."`
	Rollback stageRollbackCmd `cmd:"" help:"Switch the candidate of a stage off: the stage decides alone, as before."`
	Reset    stageResetCmd    `cmd:"" help:"Undo promote or rollback: the candidate does what pipeline.hcl says."`
	Diff     stageDiffCmd     `cmd:"" help:"Show messages that a stage and its shadow decided differently, or on which its candidate failed."`
}

type stageListCmd struct{}

// Run lists the stages of the running relay.
func (stageListCmd) Run(c *cli, s streams) error {
	client, err := dial(c)
	if err != nil {
		return err
	}
	stages, err := client.Stages(context.Background())
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(s.out, stages)
	}
	return printStages(s.out, stages)
}

func printStages(out io.Writer, stages []control.StageState) error {
	if len(stages) == 0 {
		_, err := fmt.Fprintln(out, "There are no stages.")
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "PIPELINE\tSTAGE\tPLUGIN\tCODE\tCANDIDATE\tCODE\tMODE\tSTATE\tCALLS\tDIFFERED\tFAILED")
	for _, st := range stages {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", st.Pipeline, st.Stage, st.Plugin, codeColumn(st.Code, st.Signer), candidateColumns(st))
	}
	return w.Flush()
}

func candidateColumns(st control.StageState) string {
	if st.Candidate == "" {
		return "-\t-\t-\t" + st.State + "\t-\t-\t-"
	}
	differed := "-" // a canary is not compared
	if st.Differed != nil {
		differed = strconv.FormatInt(*st.Differed, 10)
	}
	return fmt.Sprintf("%s\t%s\t%s\t%s\t%d\t%s\t%d", st.Candidate, codeColumn(st.CandidateCode, st.CandidateSigner), st.Mode, st.State, st.Calls, differed, st.Failed)
}

// codeColumn is the code, with the key that signed it.
func codeColumn(code, signer string) string {
	if signer == "" {
		return shortCode(code)
	}
	return shortCode(code) + " signed by " + signer
}

// shortCode is enough of a hash to tell versions apart.
func shortCode(code string) string {
	if hash, ok := strings.CutPrefix(code, "sha256:"); ok && len(hash) > 12 {
		return hash[:12]
	}
	return code
}

// stageName is the argument of the commands about one stage.
type stageName struct {
	Stage string `arg:"" help:"The stage, as PIPELINE/STAGE, or by its name alone where that is unique."`
}

func (k stageName) act(c *cli, s streams, verb, done string) error {
	client, err := dial(c)
	if err != nil {
		return err
	}
	st, err := client.SetStage(context.Background(), control.StageAction{Verb: verb, Stage: k.Stage})
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(s.out, st)
	}
	_, err = fmt.Fprintf(s.out, "Stage %s/%s: %s\n", st.Pipeline, st.Stage, strings.ReplaceAll(done, "CANDIDATE", "plugin."+st.Candidate))
	return err
}

type stagePromoteCmd struct {
	stageName `embed:""`
}

// Run promotes a candidate.
func (k stagePromoteCmd) Run(c *cli, s streams) error {
	return k.act(c, s, "promote", "CANDIDATE has taken its place. This lasts until the stage's block in pipeline.hcl changes; make CANDIDATE its plugin there.")
}

type stageRollbackCmd struct {
	stageName `embed:""`
}

// Run switches a candidate off.
func (k stageRollbackCmd) Run(c *cli, s streams) error {
	return k.act(c, s, "rollback", "CANDIDATE is off. This lasts until the stage's block in pipeline.hcl changes.")
}

type stageResetCmd struct {
	stageName `embed:""`
}

// Run undoes promote and rollback.
func (k stageResetCmd) Run(c *cli, s streams) error {
	return k.act(c, s, "reset", "CANDIDATE does what pipeline.hcl says.")
}

type stageDiffCmd struct {
	stageName `embed:""`
}

// Run shows the latest differences.
func (k stageDiffCmd) Run(c *cli, s streams) error {
	client, err := dial(c)
	if err != nil {
		return err
	}
	ds, err := client.Differences(context.Background(), k.Stage)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(s.out, ds)
	}
	stages, err := client.Stages(context.Background())
	if err != nil {
		return err
	}
	printDifferences(s.out, k.of(stages), ds)
	return nil
}

// of returns the stage of that name, which is there.
func (k stageName) of(stages []control.StageState) control.StageState {
	for _, st := range stages {
		if st.Stage == k.Stage || st.Pipeline+"/"+st.Stage == k.Stage {
			return st
		}
	}
	return control.StageState{}
}

func printDifferences(w io.Writer, st control.StageState, ds []control.Difference) {
	switch {
	case st.Mode == "canary":
		fmt.Fprintf(w, "%s/%s: a canary is called in place of the stage and is not compared; %s, %d failed. For a comparison set mode = \"shadow\"\n",
			st.Pipeline, st.Stage, counted(st.Calls, "call"), st.Failed)
	case len(ds) == 0:
		fmt.Fprintln(w, "No difference has been seen since the stage was loaded.")
	}
	for _, d := range ds {
		fmt.Fprintf(w, "%s  %s  phase %s, %s\n", d.At.UTC().Format(time.RFC3339), d.ID, d.Phase, d.Mode)
		printDecided(w, "stage", d.Live)
		printDecided(w, "candidate", d.Candidate)
		for _, e := range d.Edits {
			fmt.Fprintf(w, "  %s\n", oneLine(e))
		}
	}
}

// printDecided prints one side. Its texts are a guest's.
func printDecided(w io.Writer, who string, d control.Decided) {
	text := d.Verdict
	switch {
	case d.Error != "":
		text = "failed: " + d.Error
	case d.Reply != "":
		text += ": " + d.Reply
	case text == "":
		text = "not called"
	}
	fmt.Fprintf(w, "  %-9s  %s\n", who, oneLine(text))
}

// counted is a number of things.
func counted(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// oneLine is harmless for a line of a table.
func oneLine(s string) string { return strings.NewReplacer("\n", " ", "\t", " ").Replace(harmless(s)) }
