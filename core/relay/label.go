// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"fmt"

	"github.com/postroad-mail/postroad/core/mail"
)

// label takes the fields that name tenant and campaign out of the header. They
// are believed of clients that may send anywhere. Those of strangers are taken
// out as well: the next relay may believe us.
func (t *transaction) label(h *mail.Header) *mail.Reply {
	env := t.tx.Envelope()
	if r := t.labelFrom(h, t.l.TenantHeader, &env.Tenant); r != nil {
		return r
	}
	if r := t.labelFrom(h, t.l.CampaignHeader, &env.Campaign); r != nil {
		return r
	}
	t.tenant, t.campaign = env.Tenant, env.Campaign
	return nil
}

func (t *transaction) labelFrom(h *mail.Header, field string, into *string) *mail.Reply {
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
	if len(values) > 1 || !mail.ValidLabel(values[0]) {
		return mail.NewReply(554, mail.Enhanced{5, 6, 0}, fmt.Sprintf("field %s must be there once and hold 1 to 64 characters without a space", field))
	}
	*into = values[0]
	return nil
}
