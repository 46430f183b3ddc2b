// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"

	"github.com/postroad-mail/postroad/core/internal/testkit"
)

// What is asked for goes to the server as RFC 3461 spells it, or nothing goes.
func TestSendAsksForReports(t *testing.T) {
	ask := []string{"--notify", "Success,delay", "--ret", "full", "--envid", "a+b c", "--orcpt", "rfc822;old+a@b.test", "--orcpt", "utf-8;jürgen@b.test"}
	args := append([]string{"send", "--from", "me@b.test", "--to", "a@b.test", "--to", "c@b.test"}, append(ask, "text")...)
	sink := testkit.NewSink(t, testkit.SinkOptions{Extensions: append(testkit.DefaultExtensions(), "DSN")})
	if out, errs, code := call("", append(args, "--server", sink.Addr().String())...); code != 0 {
		t.Fatalf("%d %s%s", code, out, errs)
	}
	got := strings.Join(sink.Commands()[0], "\n")
	for _, want := range []string{
		"RET=FULL ENVID=a+2Bb+20c",
		"RCPT TO:<a@b.test> NOTIFY=SUCCESS,DELAY ORCPT=RFC822;old+2Ba@b.test",
		`RCPT TO:<c@b.test> NOTIFY=SUCCESS,DELAY ORCPT=UTF-8;`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not among the commands:\n%s", want, got)
		}
	}
	without := testkit.NewSink(t, testkit.SinkOptions{})
	out, errs, code := call("", append(args, "--server", without.Addr().String())...)
	if code != exitUnavailable || !strings.Contains(out+errs, "does not offer DSN") || without.Count() != 0 {
		t.Errorf("a server without DSN: %d %s%s", code, out, errs)
	}
}
