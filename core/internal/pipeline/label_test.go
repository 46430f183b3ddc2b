// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"errors"
	"strings"
	"testing"

	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/sdk/abi"
)

func TestSetLabel(t *testing.T) {
	for _, c := range []struct {
		key   int
		value string
		want  error
		is    [2]string // tenant and campaign; they begin as "old" and "old"
	}{
		{abi.LabelTenant, "shop-17", nil, [2]string{"shop-17", "old"}},
		{abi.LabelCampaign, "spring", nil, [2]string{"old", "spring"}},
		{abi.LabelTenant, strings.Repeat("a", 64), nil, [2]string{strings.Repeat("a", 64), "old"}},
		{abi.LabelTenant, "", nil, [2]string{"", "old"}},
		{abi.LabelTenant, strings.Repeat("a", 65), abi.ErrBadArgument, [2]string{"old", "old"}},
		{abi.LabelTenant, "two words", abi.ErrBadArgument, [2]string{"old", "old"}},
		{abi.LabelCampaign, "a\r\nb", abi.ErrBadArgument, [2]string{"old", "old"}},
		{abi.LabelCampaign, "grüße", abi.ErrBadArgument, [2]string{"old", "old"}},
		{0, "a", abi.ErrUnsupported, [2]string{"old", "old"}},
		{3, "a", abi.ErrUnsupported, [2]string{"old", "old"}},
	} {
		f := &fixture{}
		var seen any
		tx := f.begin(f.pipeline(Step{Name: "s", Stage: stageFunc(func(h *Hook) (mail.Verdict, error) {
			if err := h.SetLabel(c.key, c.value); !errors.Is(err, c.want) {
				t.Errorf("key %d value %q: %v", c.key, c.value, err)
			}
			return mail.Continue, nil
		})}, Step{Name: "later", Stage: stageFunc(func(*Hook) (mail.Verdict, error) { return mail.Continue, nil }),
			When: conditionFunc(func(fact func(string) (any, bool)) (bool, error) {
				seen, _ = fact("envelope.tenant")
				return false, nil
			})}), "x@b.test")
		tx.Envelope().Tenant, tx.Envelope().Campaign = "old", "old"
		r := runMessage(tx, "")
		e := r.Messages[0].Envelope
		if e.Tenant != c.is[0] || e.Campaign != c.is[1] || seen != c.is[0] {
			t.Errorf("key %d value %q: tenant %q, campaign %q, when sees %v", c.key, c.value, e.Tenant, e.Campaign, seen)
		}
	}
}

// TestLabelOfSome: a stage that sees one of two recipients labels that one's
// message alone.
func TestLabelOfSome(t *testing.T) {
	f := &fixture{}
	r := runMessage(f.begin(f.pipeline(Step{Name: "s", When: domainIs("b.test"),
		Stage: stageFunc(func(h *Hook) (mail.Verdict, error) { return mail.Continue, h.SetLabel(abi.LabelTenant, "shop") })}), "x@b.test", "y@c.test"), "")
	if len(r.Messages) != 2 {
		t.Fatalf("%d messages", len(r.Messages))
	}
	for _, m := range r.Messages {
		for _, rc := range m.Envelope.Recipients {
			if want := map[string]string{"b.test": "shop"}[rc.Address.Domain()]; !rc.Removed && m.Envelope.Tenant != want {
				t.Errorf("%s has tenant %q", rc.Address, m.Envelope.Tenant)
			}
		}
	}
}
