// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/postroad-mail/postroad/core/relay"
)

func TestCapturedTextsDoNotReachTheTerminalRaw(t *testing.T) {
	var out bytes.Buffer
	r := &relay.Replayed{ID: "A\x1b[2J", Sender: "a\x1b]0;x\a@b.test", Recipients: []string{"c\u009b31m@b.test\nfaked"}, Differences: []string{"- header \x1b[31m\n+ faked"}}
	if err := printReplayed(streams{out: &out}, r); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); strings.ContainsAny(got, "\x1b\a\u009b") || strings.Count(got, "\n") != 2 {
		t.Errorf("%q", got)
	}
}
