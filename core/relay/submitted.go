// SPDX-License-Identifier: Apache-2.0

package relay

import (
	netmail "net/mail"
	"net/netip"
	"slices"
	"strings"

	"github.com/postroad-mail/postroad/core/internal/auth"
	"github.com/postroad-mail/postroad/core/internal/bucket"
	"github.com/postroad-mail/postroad/core/internal/config"
	"github.com/postroad-mail/postroad/core/mail"
)

// Reasons of refusals of mail of users.
const (
	refusedQuota = "user_rate"
	refusedFrom  = "from_not_own"
)

// quotas are what users of a listener may send in a time; nil: as much as they like.
type quotas struct{ messages, recipients, tenant *bucket.Buckets }

// openQuotas makes the buckets of a listener. They outlive generations.
func (g *generation) openQuotas(l *config.Listener, p parts) quotas {
	get := func(what string, r config.Rate) *bucket.Buckets { return g.openRate(l, what, r, p) }
	return quotas{get("user messages", l.Submission.UserMessages), get("user recipients", l.Submission.UserRcpts), get("tenant messages", l.Submission.TenantMsgs)}
}

// spent reports whether somebody has used a rate up.
func spent(b *bucket.Buckets, key string) bool {
	if b == nil || key == "" {
		return false
	}
	ok, _ := b.Take(key, 1)
	return !ok
}

// overQuota refuses MAIL of a user who has sent too much.
func (s *session) overQuota() *mail.Reply {
	who := s.account()
	if who == nil {
		return nil
	}
	q := s.g.quotas[s.d.listener]
	if !spent(q.messages, who.User) && !spent(q.tenant, who.Tenant) {
		return nil
	}
	return mail.NewReply(450, mail.Enhanced{4, 7, 1}, "you have sent as many messages as you may, try again later")
}

// overQuota refuses RCPT of a user who has named too many.
func (t *transaction) overQuota() *mail.Reply {
	if t.account == nil || !spent(t.g.quotas[t.l.Name].recipients, t.account.User) {
		return nil
	}
	return mail.NewReply(452, mail.Enhanced{4, 5, 3}, "you have named as many recipients as you may, try again later")
}

// submitted reports whether the mail is a user's, for whom we may mend it.
func (t *transaction) submitted() bool {
	return t.account != nil || t.l.Kind == config.KindSubmission
}

// submit applies the rules of submission to a header (RFC 6409 §8).
func (t *transaction) submit(h *mail.Header) *mail.Reply {
	if !t.submitted() {
		return nil
	}
	rules := &t.l.Submission
	own, r := t.ownFrom(h)
	if r != nil {
		return r
	}
	if rules.RemoveBcc {
		removeAll(h, "Bcc", "Resent-Bcc")
	}
	if h.Count("DKIM-Signature") > 0 {
		return nil // a signature may say that what is missing is missing
	}
	var err error
	if env := t.tx.Envelope(); rules.AddSender && !own && h.Count("Sender") == 0 && !env.Sender.IsNull() {
		_, err = h.Append("Sender", string(env.Sender))
	}
	if err == nil && rules.AddMissing {
		err = t.addMissing(h)
	}
	if err != nil {
		return mail.OurFault(err)
	}
	return nil
}

func removeAll(h *mail.Header, names ...string) {
	for _, name := range names {
		for id := h.Find(name, -1); id >= 0; id = h.Find(name, -1) {
			_ = h.Delete(id) // it was found
		}
	}
}

// addMissing adds Date and Message-ID (RFC 6409 §8.2, §8.3).
func (t *transaction) addMissing(h *mail.Header) error {
	if h.Count("Date") == 0 {
		if _, err := h.Append("Date", t.r.clock.Now().Format("Mon, 2 Jan 2006 15:04:05 -0700")); err != nil {
			return err
		}
	}
	if h.Count("Message-ID") > 0 {
		return nil
	}
	_, err := h.Append("Message-ID", "<"+t.tx.Envelope().ID+"@"+t.g.config.Server.Hostname+">")
	return err
}

// ownFrom reports whether From, and Sender where it is there, hold addresses of the
// user alone, and refuses the message where the listener wants that.
func (t *transaction) ownFrom(h *mail.Header) (own bool, refused *mail.Reply) {
	if t.account == nil || t.account.Senders == nil {
		return true, nil
	}
	own = ownField(t.account, h, "From", true) && ownField(t.account, h, "Sender", false)
	if own || t.l.Submission.From != "own" {
		return own, nil
	}
	return false, mail.NewReply(550, mail.Enhanced{5, 7, 1}, "From or Sender holds an address that you may not send as")
}

// ownField reports whether a field is there once, if it has to be, and holds
// addresses of the account alone. One that cannot be read may hold any.
func ownField(who *auth.Account, h *mail.Header, name string, needed bool) bool {
	values := h.Values(name)
	if len(values) != 1 {
		return len(values) == 0 && !needed
	}
	list, err := netmail.ParseAddressList(strings.NewReplacer("\r\n", "").Replace(values[0]))
	return err == nil && len(list) > 0 && !slices.ContainsFunc(list, func(a *netmail.Address) bool { return !owns(who.Senders, mail.Address(a.Address)) })
}

// trace returns the value of our Received field, without the client where that is
// to be hidden.
func (t *transaction) trace() string {
	env := t.tx.Envelope()
	if t.l.Submission.HideClient && t.submitted() {
		hidden := *env
		hidden.Client.Addr = netip.AddrPort{}
		env = &hidden
	}
	return received(env, t.g.config.Server.Hostname, t.r.clock.Now())
}
