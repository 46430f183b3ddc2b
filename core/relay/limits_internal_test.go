// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/postroad-mail/postroad/core/mail"
)

// stamp adds a header field, as most stages do.
type stamp struct{}

func (stamp) Message(_ context.Context, m Message) (mail.Verdict, error) {
	_, err := m.AddHeader(-1, "X-Stamp", "seen")
	return mail.Continue, err
}

func openWithStamp(t *testing.T) *Relay {
	t.Helper()
	r, err := Open(context.Background(), Options{
		Config: []byte(`
admin { address = "" }
listener "smtp" "in" {
  address  = "127.0.0.1:0"
  pipeline = pipeline.p
  limits {
    header_size = "2MiB"
  }
}
plugin "stamp" {
  source = "native:stamp"
}
pipeline "p" {
  stage "stamp" {
    plugin = plugin.stamp
  }
}
routing {
  rule { route = route.nowhere }
}
route "nowhere" {
  discard {}
}
`), ConfigFile: "test.hcl", InMemory: true, DataDir: t.TempDir(), LogOutput: t.Output(),
		Stages: map[string]NewStage{"stamp": func([]byte) (Stage, error) { return stamp{}, nil }},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func submitCode(r *Relay, message string) int {
	_, err := r.Submit(context.Background(), Submission{Recipients: []string{"a@x.test"}, Content: strings.NewReader(message)})
	var reply *mail.Reply
	if errors.As(err, &reply) {
		return reply.Code
	}
	if err != nil {
		return -1
	}
	return 250
}

// A header within the listener's limits must not become too large for stages:
// the sender would get 451 for as long as it tries.
func TestAHeaderAtTheLimitsPassesStagesOrIsRefusedForGood(t *testing.T) {
	r := openWithStamp(t)
	line := "X-A: " + strings.Repeat("a", 900) + "\r\n"
	for _, c := range []struct {
		name, header string
		want         int
	}{
		{"most octets", strings.Repeat(line, (2<<20-100)/len(line)), 250},
		{"too many octets", strings.Repeat(line, (2<<20)/len(line)+1), 552},
		{"most fields", strings.Repeat("A: b\r\n", 9_000), 250},
		{"too many fields", strings.Repeat("A: b\r\n", 9_001), 554},
		{"far too many fields", strings.Repeat("A: b\r\n", 100_000), 554},
	} {
		if got := submitCode(r, c.header+"\r\nbody\r\n"); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}
