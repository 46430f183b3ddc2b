// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"strings"
)

// Recipients says who the recipients of a rule's domains are.
type Recipients struct {
	Known   []string // local parts, for each domain, or addresses
	File    string   // absolute path of more; empty: none
	Ask     string   // host:port that is asked about all others; empty: there are no others
	OnFault string   // "tempfail" or "accept": when nobody can tell
}

func recipientsSpec() *blockSpec {
	return &blockSpec{
		name: "recipients", count: optional,
		doc: "Who the recipients of these domains are. Others are refused at RCPT with 550, so that nothing has to be returned for them; postmaster is always one. Without this block all are taken.",
		args: []argSpec{
			{"known", listKind[string](recipientKind(), "list of recipients"), `[]`, false, "Local parts, which stand for all domains of the rule, or whole addresses; in any case of letters."},
			{"file", fileKind(), ``, false, "A file with more of them, one in each line. It is read again when it has changed."},
			{"ask", peerKind(25), ``, false, "The host that has the mailboxes: it is asked about all others by MAIL FROM:<> and RCPT TO, and its answers are kept, a yes for an hour, a no for ten minutes."},
			{"on_fault", enumKind("tempfail", "accept"), `"tempfail"`, false, "What happens when that host does not answer: 451, or the recipient is taken."},
		},
	}
}

// recipientKind reads a local part or an address.
func recipientKind() kind {
	return scalarKind("recipient", `a local part or an address, such as "ann" or "ann@example.org"`, func(_ *decoder, s string) (string, error) {
		if s == "" || strings.HasPrefix(s, "@") || strings.HasSuffix(s, "@") || strings.ContainsAny(s, " \t<>") {
			return "", fmt.Errorf("%q is no recipient", s)
		}
		return s, nil
	}, same)
}

// recipients reads the block of a rule, nil where there is none.
func (d *decoder) recipients(n *node) *Recipients {
	b := n.child("recipients")
	if b == nil {
		return nil
	}
	r := &Recipients{Known: arg[[]string](b, "known"), File: arg[string](b, "file"), Ask: arg[string](b, "ask"), OnFault: arg[string](b, "on_fault")}
	if !d.conditional(n) {
		d.fault(b.rng, "recipients are those of domains, and the rule names none", "expected domains in the rule")
	}
	if len(r.Known) == 0 && r.File == "" && r.Ask == "" {
		d.fault(b.rng, "nobody would be a recipient", "expected known, file or ask")
	}
	return r
}
