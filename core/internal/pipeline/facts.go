// SPDX-License-Identifier: Apache-2.0

package pipeline

import "github.com/postroad-mail/postroad/core/mail"

// factsFor returns the facts of the branch under the names of pipeline.hcl.
// idx is the recipient that recipient.* is about, -1 for none.
func (b *branch) factsFor(idx int) func(string) (any, bool) {
	return func(name string) (any, bool) {
		if v, ok := clientFact(&b.env.Client, name); ok {
			return v, true
		}
		if v, ok := b.envelopeFact(name); ok {
			return v, true
		}
		if v, ok := b.delivery.fact(name); ok {
			return v, true
		}
		if idx >= 0 && idx < len(b.env.Recipients) {
			return recipientFact(b.env.Recipients[idx].Address, name)
		}
		return nil, false
	}
}

func clientFact(c *mail.Client, name string) (any, bool) {
	switch name {
	case "client.ip":
		return c.Addr.Addr().Unmap().String(), true
	case "client.name":
		return c.Name, true
	case "client.helo":
		return c.Helo, true
	case "client.user":
		return c.User, true
	case "client.authenticated":
		return c.Authenticated, true
	case "session.tls":
		return c.TLSVersion != "", true
	case "session.listener":
		return c.Listener, true
	}
	return nil, false
}

func (b *branch) envelopeFact(name string) (any, bool) {
	switch name {
	case "envelope.sender":
		return string(b.env.Sender), true
	case "envelope.sender_domain":
		return b.env.Sender.Domain(), true
	case "envelope.size":
		return b.env.DeclaredSize, true
	case "envelope.tenant":
		return b.env.Tenant, true
	case "envelope.campaign":
		return b.env.Campaign, true
	case "envelope.recipients":
		return int64(b.env.Live()), true
	case "message.size":
		return b.size(), true
	case "message.score":
		return b.env.Score(), true
	case "message.header":
		return b.header.Values, true
	}
	return nil, false
}

func (b *branch) size() int64 {
	n := b.header.Size()
	if b.body != nil {
		n += b.body.Size()
	}
	return n
}

func recipientFact(a mail.Address, name string) (any, bool) {
	switch name {
	case "recipient.address":
		return string(a), true
	case "recipient.domain":
		return a.Domain(), true
	case "recipient.local":
		return a.Local(), true
	}
	return nil, false
}
