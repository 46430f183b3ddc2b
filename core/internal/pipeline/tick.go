// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"

	"github.com/postroad-mail/postroad/core/mail"
)

// Tick calls the stage of that name in phase tick, without a message, and
// returns what it emitted. `when` is not asked, for there is nothing that it
// could ask about. A candidate is not called: there would be two at a time.
func (p *Pipeline) Tick(ctx context.Context, stage string) []Emission {
	var out []Emission
	for i := range p.o.Steps {
		s := p.o.Steps[i]
		s.Candidate = nil
		if s.Name == stage && s.wants(mail.PhaseTick) {
			h := newHook(p, &branch{env: &mail.Envelope{}}, &s, mail.PhaseTick, 0)
			h.out = &out
			p.run(ctx, &s, h)
		}
	}
	return out
}
