// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"strconv"

	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/sdk/abi"
)

// SetLabel sets tenant or campaign, a key of abi.Label*, in the phases headers
// and message: what listener and header field say is there by then, and gives
// way. Values are those of mail.ValidLabel; the empty one takes the label away.
func (h *Hook) SetLabel(key int, value string) error {
	if h.phase != mail.PhaseHeaders && h.phase != mail.PhaseMessage {
		return abi.ErrWrongPhase
	}
	if key != abi.LabelTenant && key != abi.LabelCampaign {
		return abi.ErrUnsupported
	}
	if value != "" && !mail.ValidLabel(value) {
		return abi.ErrBadArgument
	}
	if e := h.editEnvelope(); key == abi.LabelTenant {
		e.Tenant = value
	} else {
		e.Campaign = value
	}
	h.shared = true
	return h.note("label_set", strconv.Itoa(key), value)
}
