// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"fmt"

	"github.com/postroad-mail/postroad/core/mail"
)

// label takes the fields that name tenant, campaign and priority out of the
// header. They are believed of clients that may send anywhere, but for the tenant
// of a user who has one. Those of strangers are taken out as well: the next relay
// may believe us.
func (t *transaction) label(h *mail.Header) *mail.Reply {
	env := t.tx.Envelope()
	name := func(into *string) func(string) bool {
		return func(s string) bool {
			if !mail.ValidLabel(s) {
				return false
			}
			*into = s
			return true
		}
	}
	tenant := name(&env.Tenant)
	if t.bound {
		tenant = func(string) bool { return true }
	}
	priority := func(s string) (ok bool) { env.Priority, ok = mail.ParsePriority(s); return ok }
	for _, f := range [...]struct {
		field, want string
		set         func(string) (ok bool)
	}{
		{t.l.TenantHeader, "1 to 64 characters without a space", tenant},
		{t.l.CampaignHeader, "1 to 64 characters without a space", name(&env.Campaign)},
		{t.l.PriorityHeader, "a whole number from -100 to 100", priority},
	} {
		if r := t.labelFrom(h, f.field, f.want, f.set); r != nil {
			return r
		}
	}
	t.tenant, t.campaign, t.priority = env.Tenant, env.Campaign, env.Priority
	return nil
}

// labelFrom takes a field out and hands its value to set. After a refusal the
// message is not taken.
func (t *transaction) labelFrom(h *mail.Header, field, want string, set func(string) bool) *mail.Reply {
	if field == "" {
		return nil
	}
	values := h.Values(field)
	for id := h.Find(field, -1); id >= 0; id = h.Find(field, -1) {
		if err := h.Delete(id); err != nil {
			return mail.OurFault(err)
		}
	}
	if !t.trusted || len(values) == 0 {
		return nil
	}
	if len(values) > 1 || !set(values[0]) {
		return mail.NewReply(554, mail.Enhanced{5, 6, 0}, fmt.Sprintf("field %s must be there once and hold %s", field, want))
	}
	return nil
}
