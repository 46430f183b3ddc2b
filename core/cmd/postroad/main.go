// SPDX-License-Identifier: Apache-2.0

// Command postroad is the mail relay and its tools. Everything that it does, a
// program can do with core/relay.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/postroad-mail/postroad/core/internal/control"
	"github.com/postroad-mail/postroad/core/relay"
)

// cli is the table of commands and flags.
type cli struct {
	Config string `short:"c" default:"pipeline.hcl" placeholder:"FILE" help:"Configuration (default: ./pipeline.hcl)."`
	JSON   bool   `name:"json" help:"Print JSON."`

	Run     runCmd     `cmd:"" help:"Run the relay in the foreground. SIGTERM drains and ends it, SIGHUP reloads the configuration."`
	Check   checkCmd   `cmd:"" help:"Check a configuration and load its plugins, without running it."`
	Send    sendCmd    `cmd:"" help:"Send one message by SMTP."`
	Queue   queueCmd   `cmd:"" help:"See and change the queue. Changes need the running relay."`
	Stage   stageCmd   `cmd:"" help:"See the stages of the running relay, and promote or roll back their candidates."`
	Replay  replayCmd  `cmd:"" help:"Run captured messages through the pipelines again and list what differs."`
	User    userCmd    `cmd:"" help:"See and change the users of a file, who log in by AUTH."`
	Version versionCmd `cmd:"" help:"Print the version."`
}

// Exit codes, as sysexits.h has them.
const (
	exitUsage       = 64
	exitData        = 65
	exitNoInput     = 66
	exitUnavailable = 69
	exitSoftware    = 70
	exitIO          = 74
	exitTempFail    = 75
	exitConfig      = 78
)

// streams are what commands print to and read from.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

func main() {
	os.Exit(run(os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr}))
}

func run(args []string, s streams) int {
	var c cli
	ended := -1
	parser, err := kong.New(&c, kong.Name("postroad"), kong.Writers(s.out, s.err), kong.Exit(func(code int) { ended = code }),
		kong.Description("Postroad relays mail through a chain of WebAssembly stages that pipeline.hcl declares.\n\nStart with: postroad run"),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}), kong.ShortUsageOnError())
	if err != nil {
		fmt.Fprintln(s.err, "postroad:", err)
		return exitSoftware
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	ctx, err := parser.Parse(args)
	if ended >= 0 { // --help
		return ended
	}
	if err != nil {
		fmt.Fprintln(s.err, "postroad:", err)
		fmt.Fprintf(s.err, "Try: %s --help\n", commandOf(err))
		return exitUsage
	}
	if err := ctx.Run(&c, s); err != nil {
		fmt.Fprintln(s.err, "postroad:", strings.TrimRight(err.Error(), "\n"))
		return exitCode(err)
	}
	return 0
}

// commandOf returns the command line up to where the parser understood it.
func commandOf(err error) string {
	var p *kong.ParseError
	if errors.As(err, &p) && p.Context != nil && p.Context.Selected() != nil {
		return p.Context.Selected().FullPath()
	}
	return "postroad"
}

// codedError is an error that knows its exit code.
type codedError struct {
	code int
	err  error
}

func (e *codedError) Error() string { return e.err.Error() }
func (e *codedError) Unwrap() error { return e.err }

func exitCode(err error) int {
	var coded *codedError
	var refused *control.Refused
	switch {
	case errors.As(err, &coded):
		return coded.code
	case errors.As(err, &refused):
		return exitData
	case errors.Is(err, relay.ErrConfig):
		return exitConfig
	case errors.Is(err, relay.ErrDisk):
		return exitIO
	case errors.Is(err, relay.ErrUnavailable), errors.Is(err, control.ErrNotRunning):
		return exitUnavailable
	case errors.Is(err, os.ErrNotExist):
		return exitNoInput
	}
	return exitSoftware
}

type versionCmd struct{}

// Run prints the version.
func (versionCmd) Run(c *cli, s streams) error {
	if c.JSON {
		return printJSON(s.out, map[string]string{"version": relay.Version()})
	}
	_, err := fmt.Fprintln(s.out, "postroad", relay.Version())
	return err
}
