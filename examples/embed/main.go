// SPDX-License-Identifier: Apache-2.0

// Command embed runs a Postroad relay inside a Go program, with a stage written
// in Go beside one in WebAssembly.
package main

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/core/relay"
)

//go:embed embed.hcl
var pipeline []byte

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	r, err := relay.Open(ctx, options())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("listening on", r.Addr("inbound"))
	if err := r.Run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// options are the relay of this program; the test changes a few of them.
func options() relay.Options {
	return relay.Options{
		ConfigFile: "embed.hcl",
		Config:     pipeline,
		Stages:     map[string]relay.NewStage{"greeter": newGreeter},
	}
}

// greeter is a stage in Go: it refuses mail without a Subject, and marks the
// rest.
type greeter struct{}

func newGreeter([]byte) (relay.Stage, error) { return greeter{}, nil }

// Message implements relay.Stage.
func (greeter) Message(_ context.Context, m relay.Message) (mail.Verdict, error) {
	if _, ok := m.Header().Get("Subject"); !ok {
		return mail.Reject, m.SetReply(550, mail.Enhanced{5, 6, 0}, "a subject, please")
	}
	_, err := m.AddHeader(0, "X-Greeting", "hello from Go")
	return mail.Continue, err
}
