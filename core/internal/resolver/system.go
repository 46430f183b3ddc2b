// SPDX-License-Identifier: Apache-2.0

package resolver

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strings"

	"github.com/miekg/dns"
)

// readSystem reads the system's name servers and hosts.
func (r *Resolver) readSystem() error {
	r.servers = []string{"127.0.0.1:53"} // resolv.conf(5): the default
	conf, err := dns.ClientConfigFromFile(r.o.ResolvConf)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("resolver: %w", err)
	}
	if err == nil && len(conf.Servers) > 0 {
		r.servers = nil
		for _, s := range conf.Servers {
			r.servers = append(r.servers, net.JoinHostPort(s, conf.Port))
		}
	}
	hosts, err := os.ReadFile(r.o.HostsFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("resolver: %w", err)
	}
	r.hosts = parseHosts(string(hosts))
	return nil
}

// parseHosts reads hosts(5): an address and its names on each line.
func parseHosts(text string) map[string][]netip.Addr {
	hosts := map[string][]netip.Addr{}
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		words := strings.Fields(line)
		if len(words) < 2 {
			continue
		}
		ip, err := netip.ParseAddr(words[0])
		if err != nil {
			continue
		}
		for _, name := range words[1:] {
			name = dns.Fqdn(strings.ToLower(name))
			hosts[name] = append(hosts[name], ip)
		}
	}
	return hosts
}

// known returns the addresses of a name that is not looked up in the DNS: one
// of the system's hosts, or localhost, which means the same everywhere
// (RFC 6761 §6.3).
func (r *Resolver) known(name string) []netip.Addr {
	if ips := r.hosts[name]; ips != nil {
		return ips
	}
	if name == "localhost." || strings.HasSuffix(name, ".localhost.") {
		return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}
	}
	return nil
}
