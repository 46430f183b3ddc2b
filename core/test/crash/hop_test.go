// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"strconv"
	"strings"

	"github.com/postroad-mail/postroad/core/internal/testkit"
)

// behaviour is what the next hop is like during one life of the relay, so that
// it has undelivered mail when it dies.
type behaviour struct {
	name   string
	script func(round int) testkit.Script
}

func behaviours() []behaviour {
	return []behaviour{
		{"refuses a third for now", refuseThird},
		{"answers no final dot", stall},
		{"drops every third connection at the final dot", dropThird},
	}
}

// refuseThird answers 450 for a third of the recipients, another one in each
// round: what was refused in the last round is delivered in this one.
func refuseThird(round int) testkit.Script {
	return func(e testkit.Event) testkit.Action {
		if _, rest, ok := strings.Cut(e.Arg, "<m"); ok && e.Verb == "RCPT" {
			digits, _, _ := strings.Cut(rest, "@")
			if n, err := strconv.Atoi(digits); err == nil && n%3 == round%3 {
				return testkit.Action{Reply: "450 4.2.1 not now"}
			}
		}
		return testkit.Action{}
	}
}

// stall takes the content and never answers: deliveries are under way when the
// relay dies.
func stall(int) testkit.Script { return testkit.Hold(testkit.VerbDot, make(chan struct{})) }

// dropThird closes the connection where the relay cannot know whether the
// message was taken.
func dropThird(int) testkit.Script { return testkit.OnMail(3, testkit.Drop(testkit.VerbDot)) }
