// SPDX-License-Identifier: Apache-2.0

package delivery

import "testing"

func TestTheLogRepeatsNoAddressOfAReply(t *testing.T) {
	for in, want := range map[string]string{
		"550 5.1.1 no such user":                              "550 5.1.1 no such user",
		"550 5.1.1 <ann@x.test>: user unknown":                "550 5.1.1 <address> user unknown",
		"550 5.1.1 ann@x.test, \"b c\"@y.test not here (n@z)": "550 5.1.1 <address> \"b <address> not here <address>",
	} {
		if got := withoutAddresses(in); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}
