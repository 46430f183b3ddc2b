// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"errors"
	"strings"
	"testing"

	"github.com/postroad-mail/postroad/core/mail"
)

// "451 4.3.0 local error, try again later" was all that queue show said of a
// stage that failed; the sender must not hear more.
func TestWhyMailIsDeferredByOurFaultIsToldToTheOperatorAlone(t *testing.T) {
	fault := mail.Outcome{Reply: *mail.OurFault(errors.New("stage cmdc failed in route: op 0, hdr_add:\x1b[2J wrong phase, route\ngoroutine 1"))}
	const told = "stage cmdc failed in route: op 0, hdr_add: [2J wrong phase, route"
	k := kept(fault)
	if got := Why(k); got != told {
		t.Errorf("the operator reads %q", got)
	}
	if got := waiting(State{Attempts: 1, Last: k}); got != "attempt 1: "+told {
		t.Errorf("the operator reads %q", got)
	}
	if got := public(k).Reply.Text; got != "local error, try again later" {
		t.Errorf("stages read %q", got)
	}
	if got := expired("", 0, 1, public(k)).Reply.Text; strings.Contains(got, "cmdc") {
		t.Errorf("the sender reads %q", got)
	}
	long := kept(mail.Outcome{Reply: *mail.OurFault(errors.New(strings.Repeat("ö", 5000)))})
	if n := len(long.Reply.Text); n > maxText {
		t.Errorf("%d octets are kept", n)
	}
}

func TestWhatANextHopSaysIsKeptAsItIs(t *testing.T) {
	o := mail.Outcome{Remote: true, Reply: mail.Reply{Code: 451, Enhanced: mail.Enhanced{4, 3, 0}, Text: "busy; cause: load", Cause: errors.New("x")}}
	if got := kept(o); got.Reply.Text != o.Reply.Text {
		t.Errorf("kept %q", got.Reply.Text)
	}
	if got := public(o); got.Reply.Text != o.Reply.Text {
		t.Errorf("public %q", got.Reply.Text)
	}
	if got := Why(o); got != "451 4.3.0 busy; cause: load" {
		t.Errorf("the operator reads %q", got)
	}
}
