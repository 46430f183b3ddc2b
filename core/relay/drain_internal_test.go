// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
)

// A next hop that never answers must not make an orderly stop a failed one.
func TestAStopWhileANextHopHangsIsOrderly(t *testing.T) {
	dialled := make(chan struct{}, 16)
	r, err := Open(context.Background(), Options{
		Config: []byte(`
server {
  drain_timeout = "1ms"
}
admin { address = "" }
listener "smtp" "in" { address = "127.0.0.1:0" }
routing {
  rule { route = route.next }
}
route "next" {
  smarthost { host = "192.0.2.1:25" }
}
`), ConfigFile: "test.hcl", InMemory: true, DataDir: t.TempDir(), LogOutput: t.Output(),
		Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			dialled <- struct{}{}
			<-ctx.Done()
			return nil, ctx.Err()
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	if _, err := r.Submit(ctx, Submission{Sender: "a@x.test", Recipients: []string{"b@y.test"}, Content: strings.NewReader("x")}); err != nil {
		t.Fatal(err)
	}
	<-dialled
	stop()
	if err := <-ended; err != nil {
		t.Errorf("the relay ended with %v, want an orderly end", err)
	}
}

func TestOnlyTheEndOfTheTimeIsOrderly(t *testing.T) {
	r := openInMemory(t, listens("in"))
	defer r.Close()
	fault := errors.New("disk")
	late := errors.Join(context.DeadlineExceeded, errors.Join(fault, context.DeadlineExceeded))
	if err := r.inTime(late); !errors.Is(err, fault) || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v is left, want the fault alone", err)
	}
	if err := r.inTime(errors.Join(nil, nil)); err != nil {
		t.Error(err)
	}
}
