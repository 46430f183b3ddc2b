// SPDX-License-Identifier: Apache-2.0

package relay_test

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/core/relay"
)

const shop = `
admin { address = "" }
listener "smtp" "in" {
  address  = ""
  pipeline = pipeline.in
}
pipeline "in" {}
routing {
  rule { route = route.next }
}
route "next" {
  smarthost { hosts = ["hub.example.org"] }
}
`

// A program suspends a route, looks at what is queued, and drops some of it.
func ExampleRelay_Operator() {
	ctx := context.Background()
	r, err := relay.Open(ctx, relay.Options{ConfigFile: "shop.hcl", Config: []byte(shop), InMemory: true, LogOutput: io.Discard})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer r.Close()
	op := r.Operator("billing")
	if _, err := op.Suspend(ctx, relay.QueueSuspension{Select: mail.QueueSelector{Route: "next"}, For: time.Hour, Reason: "their maintenance", Yes: true}); err != nil {
		fmt.Println(err)
	}
	for _, to := range []string{"bob@example.net", "eve@example.com"} {
		if _, err := r.Submit(ctx, relay.Submission{Sender: "shop@example.org", Recipients: []string{to}, Content: strings.NewReader("Subject: order\n\nThank you.\n")}); err != nil {
			fmt.Println(err)
		}
	}
	drop := relay.QueueAction{Verb: relay.VerbDrop, Select: &mail.QueueSelector{Domain: "example.com"}, Reason: "ticket 4711"}
	for _, drop.Yes = range []bool{false, true} { // a dry run first
		done, err := op.Act(ctx, drop)
		fmt.Println(done.Messages, "message, done:", done.Did, err)
	}
	left, err := op.List(ctx, relay.QueueFilter{})
	for _, m := range left {
		fmt.Println(m.Recipients[0].Address, m.State, err)
	}
	// Output:
	// 1 message, done: false <nil>
	// 1 message, done: true <nil>
	// bob@example.net ready <nil>
}
