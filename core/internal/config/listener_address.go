// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
)

// What an address of a listener starts with that is not host:port.
const (
	UnixPrefix    = "unix:"    // then the absolute path of a socket
	SystemdPrefix = "systemd:" // then the name of sockets that the program was started with
)

// maxSocketPath is what the kernel takes: sun_path with its NUL, on every system.
const maxSocketPath = 103

// defaultAddress is where a listener of a kind listens when it does not say.
func defaultAddress(kind string) []string {
	switch kind {
	case "submission":
		return []string{"127.0.0.1:2587"}
	case "lmtp":
		return []string{"127.0.0.1:2424"}
	}
	return []string{"127.0.0.1:2525"}
}

// listensKind reads one address or a list of them, as []string; "" and an empty
// list switch off.
func listensKind() kind {
	one := scalarKind("address", `host:port, such as "127.0.0.1:2525", "unix:/PATH" or "systemd:NAME"`,
		func(d *decoder, s string) (string, error) { return d.listenAddress(s) }, same)
	many := listKind[string](one, "")
	k := kind{name: "address or list of addresses", want: one.want + `, or a list of such, or "" to switch it off`}
	k.read = func(d *decoder, arg string, l lit) (any, bool) {
		if s, ok := l.text(); ok && s == "" {
			return []string{}, true
		}
		if l.form == list {
			return many.read(d, arg, l)
		}
		v, ok := one.read(d, arg, l)
		if !ok {
			return nil, false
		}
		return []string{v.(string)}, true
	}
	k.print = func(v any) string { return printAddresses(v.([]string)) }
	return k
}

func printAddresses(all []string) string {
	switch len(all) {
	case 0:
		return `""`
	case 1:
		return quote(all[0])
	}
	return printList(all, quote)
}

// listenAddress checks one address, and makes the path of a socket absolute.
func (d *decoder) listenAddress(s string) (string, error) {
	if path, ok := strings.CutPrefix(s, UnixPrefix); ok {
		return d.socketPath(path)
	}
	if name, ok := strings.CutPrefix(s, SystemdPrefix); ok {
		return s, socketName(name)
	}
	_, err := splitHostPort(s, 0)
	return s, err
}

func (d *decoder) socketPath(path string) (string, error) {
	switch {
	case path == "" || strings.HasSuffix(path, "/"):
		return "", fmt.Errorf("%q names no file", UnixPrefix+path)
	case path[0] == '@':
		return "", fmt.Errorf("%q: an abstract socket has no rights that keep anybody out; name a file", UnixPrefix+path)
	case strings.ContainsFunc(path, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return "", fmt.Errorf("%q has a control character", UnixPrefix+path)
	}
	path = filepath.Clean(d.absolute(path))
	if len(path) > maxSocketPath {
		return "", fmt.Errorf("%q is too long for a socket: %d octets, at most %d", path, len(path), maxSocketPath)
	}
	return UnixPrefix + path, nil
}

// socketName checks a FileDescriptorName as systemd.socket(5) has it.
func socketName(name string) error {
	if name == "" || len(name) > 255 || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == ':' }) {
		return fmt.Errorf("%q is not the name of a socket: FileDescriptorName in the .socket unit, or the unit's own name, such as \"postroad.socket\"", name)
	}
	return nil
}

// listenPlace is where somebody listens, as far as two of them can be the same.
type listenPlace struct {
	what string // what must be the same: the port, the path or the name
	host string // "" all addresses, "0.0.0.0" those of IPv4, "::" those of IPv6, else one
}

func placeOf(address string) listenPlace {
	if strings.HasPrefix(address, UnixPrefix) || strings.HasPrefix(address, SystemdPrefix) {
		return listenPlace{what: address}
	}
	host, port, _ := net.SplitHostPort(address)
	if ip, err := netip.ParseAddr(host); err == nil {
		host = ip.Unmap().String()
	}
	return listenPlace{port, strings.ToLower(host)}
}

// overlaps reports whether the kernel would take both for the same.
func (p listenPlace) overlaps(q listenPlace) bool {
	return p.what == q.what && (p.host == q.host || p.covers(q) || q.covers(p))
}

// covers reports whether p is an address that stands for many, q's among them.
func (p listenPlace) covers(q listenPlace) bool {
	ip, err := netip.ParseAddr(q.host)
	switch p.host {
	case "":
		return true
	case "0.0.0.0":
		return err == nil && ip.Is4()
	case "::":
		return err == nil && ip.Is6()
	}
	return false
}

// taken is an address with who listens on it.
type taken struct {
	listenPlace
	address, who string
}

// addresses reports listeners that would take the same address.
func (d *decoder) addresses(root *node) {
	var all []taken
	for _, n := range append(root.children("admin"), root.children("listener")...) {
		who := n.spec.name
		if len(n.labels) > 0 {
			who += " " + quote(n.name())
		}
		for _, address := range addressesOf(n) {
			if _, port, _ := net.SplitHostPort(address); port == "0" {
				continue
			}
			mine := taken{placeOf(address), address, who}
			d.clash(n, all, mine)
			all = append(all, mine)
		}
	}
}

func addressesOf(n *node) []string {
	if one := arg[string](n, "address"); one != "" {
		return []string{one}
	}
	return arg[[]string](n, "address")
}

// clash reports the first of all that takes the same place as mine.
func (d *decoder) clash(n *node, all []taken, mine taken) {
	for _, first := range all {
		if !first.overlaps(mine.listenPlace) {
			continue
		}
		summary := fmt.Sprintf("%s and %s both listen on %s", first.who, mine.who, mine.address)
		if first.address != mine.address {
			summary = fmt.Sprintf("%s listens on %s, and %s on %s: one is part of the other", first.who, first.address, mine.who, mine.address)
		}
		if first.who == mine.who {
			summary = fmt.Sprintf("%s has %s in its list, and %s before it", mine.who, mine.address, first.address)
		}
		d.fault(n.args["address"].rng, summary, clashRemedy(mine.address))
		return
	}
}

func clashRemedy(address string) string {
	switch {
	case strings.HasPrefix(address, UnixPrefix):
		return "give one of them another path"
	case strings.HasPrefix(address, SystemdPrefix):
		return "give one of them sockets of another name"
	}
	return "give one of them another port"
}

// notOnPort25 reports an LMTP listener on the port that SMTP clients try: they
// would take it for an SMTP server (RFC 2033 §5).
func (d *decoder) notOnPort25(n *node, l *Listener) {
	for _, address := range l.Addresses {
		if _, port, _ := net.SplitHostPort(address); l.Kind == "lmtp" && port == "25" {
			d.fault(n.args["address"].rng, "LMTP is not spoken on port 25 (RFC 2033 section 5)", `expected another port, or a socket such as "unix:/run/postroad/lmtp.sock"`)
		}
	}
}
