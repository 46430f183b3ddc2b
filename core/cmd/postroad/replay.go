// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/postroad-mail/postroad/core/relay"
)

type replayCmd struct {
	Against  string `placeholder:"FILE" help:"Compare with this configuration in place of what was decided when the messages came."`
	Dir      string `placeholder:"DIR" help:"Folder of captures (default: that of the data directory)."`
	Pipeline string `placeholder:"NAME" help:"Only messages of this pipeline."`
	All      bool   `help:"Print messages without differences too."`
	ExitCode bool   `help:"Exit with 65 when a message differs."`
}

// errDiffer is the result of a replay with --exit-code that found differences.
var errDiffer = &codedError{exitData, errors.New("messages differ")}

// Run replays captured messages. It needs no running relay and disturbs none.
func (k replayCmd) Run(c *cli, s streams) error {
	o := relay.ReplayOptions{Dir: k.Dir, Pipeline: k.Pipeline}
	if k.Against != "" {
		o.Against = &relay.Options{ConfigFile: k.Against}
	}
	all, differ := 0, 0
	err := relay.Replay(context.Background(), relay.Options{ConfigFile: c.Config}, o, func(r *relay.Replayed) error {
		all++
		if len(r.Differences) > 0 {
			differ++
		} else if !k.All {
			return nil
		}
		if c.JSON {
			return printJSON(s.out, r)
		}
		return printReplayed(s, r)
	})
	if err != nil {
		return err
	}
	switch {
	case c.JSON:
	case all == 0:
		fmt.Fprintln(s.out, "nothing is captured yet")
	default:
		fmt.Fprintf(s.out, "%d of %d messages differ\n", differ, all)
	}
	if k.ExitCode && differ > 0 {
		return errDiffer
	}
	return nil
}

// printReplayed prints a message. Its texts are those of strangers.
func printReplayed(s streams, r *relay.Replayed) error {
	_, err := fmt.Fprintln(s.out, oneLine(fmt.Sprintf("%s  %s  %s  from <%s> to %s", r.ID, r.Received.UTC().Format(time.RFC3339), r.Pipeline, r.Sender, strings.Join(r.Recipients, ", "))))
	lines := r.Differences
	if len(lines) == 0 {
		for _, l := range r.After {
			lines = append(lines, "  "+l)
		}
	}
	for _, l := range lines {
		if err == nil {
			_, err = fmt.Fprintf(s.out, "    %s\n", oneLine(l))
		}
	}
	return err
}
