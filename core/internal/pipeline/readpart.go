// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/sdk/abi"
)

// ReadPart copies octets of MIME part i from off on into p and returns their
// number, 0 at the end. view is abi.PartRaw, abi.PartDecoded or
// abi.PartTextUTF8.
func (h *Hook) ReadPart(i, view int, p []byte, off int64) (int, error) {
	if h.phase != mail.PhaseMessage && h.phase != mail.PhasePredeliver {
		return 0, abi.ErrWrongPhase
	}
	return 0, abi.ErrUnsupported
}
