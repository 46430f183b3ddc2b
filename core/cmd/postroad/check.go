// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"

	"github.com/postroad-mail/postroad/core/relay"
)

type checkCmd struct {
	File    string `arg:"" optional:"" help:"Configuration to check (default: that of -c)."`
	Verbose bool   `short:"v" help:"Print it with all defaults and grants, and what vouches for the plugins."`
}

// Run checks the configuration: exit code 0 when it would run, 78 with every
// fault on stderr when not.
func (k checkCmd) Run(c *cli, s streams) error {
	file := c.Config
	if k.File != "" {
		file = k.File
	}
	res, err := relay.Check(context.Background(), relay.Options{ConfigFile: file})
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(s.out, map[string]any{"file": file, "ok": true, "warnings": res.Warnings, "plugins": res.Plugins, "overrides": res.Overrides})
	}
	for _, w := range res.Warnings {
		fmt.Fprintln(s.err, w)
	}
	for _, o := range res.Overrides {
		fmt.Fprintln(s.err, "override:", o)
	}
	if k.Verbose {
		return printChecked(s, res)
	}
	_, err = fmt.Fprintf(s.out, "%s is good: %s\n", file, res.Summary)
	return err
}

// printChecked prints the whole configuration; the rest of it is comment.
func printChecked(s streams, res *relay.Checked) error {
	_, err := fmt.Fprint(s.out, res.Text)
	for _, p := range res.Plugins {
		_, err = fmt.Fprintf(s.out, "# %s\n", p)
	}
	return err
}
