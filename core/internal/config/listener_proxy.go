// SPDX-License-Identifier: Apache-2.0

package config

import (
	"net/netip"
)

// Proxies says whose word about clients is believed.
type Proxies struct {
	Protocol []netip.Prefix // those that begin each connection with a PROXY header
	XClient  []netip.Prefix // those that may say XCLIENT
	Login    bool           // and be believed about who has logged in
}

func proxySpec() *blockSpec {
	return &blockSpec{
		name: "proxy_protocol", count: optional,
		doc: "Proxies in front of this listener, such as HAProxy, that begin each connection with a PROXY header, version 1 or 2. Who it names is the client then, for limits, stages and logs.",
		args: []argSpec{
			{"from", listKind[prefix](prefixKind(), "list of networks"), ``, true, "The proxies. Their connections must begin with the header; nobody else's may."},
		},
	}
}

func xclientSpec() *blockSpec {
	return &blockSpec{
		name: "xclient", count: optional,
		doc: "Mail servers and proxies that may say by XCLIENT, the command of Postfix, for whom they speak.",
		args: []argSpec{
			{"from", listKind[prefix](prefixKind(), "list of networks"), ``, true, "Who may say it. Nobody else is offered it, and their XCLIENT is refused."},
			{"login", boolKind(), `false`, false, "Believe its LOGIN: that client has logged in then, and may send to any domain."},
		},
	}
}

func (d *decoder) proxies(n *node) Proxies {
	var p Proxies
	if b := n.child("proxy_protocol"); b != nil {
		p.Protocol = d.believed(b)
	}
	if b := n.child("xclient"); b != nil {
		p.XClient, p.Login = d.believed(b), arg[bool](b, "login")
	}
	return p
}

// believed returns the networks of a block, which must be some and not all.
func (d *decoder) believed(n *node) []netip.Prefix {
	from := arg[[]netip.Prefix](n, "from")
	if n.has("from") && len(from) == 0 {
		d.fault(n.args["from"].rng, n.spec.name+" is from nobody", "name the networks of the proxies, or leave the block out")
	}
	for _, p := range from {
		if p.Bits() == 0 {
			d.fault(n.args["from"].rng, "every client could pass itself off as any other", "name the networks of the proxies")
			break
		}
	}
	return from
}
