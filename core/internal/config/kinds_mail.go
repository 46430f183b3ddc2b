// SPDX-License-Identifier: Apache-2.0

package config

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/postroad-mail/postroad/core/mail"
)

func hostnameKind() kind {
	return textKind("host name", `a host name, such as "mx.example.org"`, func(s string) error {
		if _, err := mail.ParseAddress("x@"+s, false); err != nil {
			return fmt.Errorf("%q is not a host name", s)
		}
		return nil
	})
}

// listenKind reads an address to listen on; the empty one switches off.
func listenKind() kind {
	return textKind("address", `host:port, such as "127.0.0.1:2525", or "" to switch it off`, func(s string) error {
		if s == "" {
			return nil
		}
		_, err := splitHostPort(s, 0)
		return err
	})
}

// peerKind reads the address of a host to talk to; port is used when none is
// written.
func peerKind(port int) kind {
	want := fmt.Sprintf(`host:port, such as "192.0.2.1:%d"`, port)
	return scalarKind("host:port", want, func(_ *decoder, s string) (string, error) {
		return peerAddress(s, port)
	}, same)
}

func peerAddress(s string, port int) (string, error) {
	if ip, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return netip.AddrPortFrom(ip, uint16(port)).String(), nil
	}
	if s != "" && !strings.Contains(s, ":") {
		s = net.JoinHostPort(s, strconv.Itoa(port))
	}
	host, err := splitHostPort(s, 1)
	if err == nil && host == "" {
		err = fmt.Errorf("%q names no host", s)
	}
	return s, err
}

func splitHostPort(s string, leastPort uint64) (host string, err error) {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return "", fmt.Errorf("%q is not host:port", s)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n < leastPort {
		return "", fmt.Errorf("%q has no valid port: a number from %d to 65535", s, leastPort)
	}
	if strings.ContainsFunc(host, func(r rune) bool { return r <= ' ' || r == '/' || r == '@' }) {
		return "", fmt.Errorf("%q is not a host", host)
	}
	return host, nil
}

func prefixKind() kind {
	want := `a network, such as "192.0.2.0/24", or one address`
	return scalarKind("network", want, func(_ *decoder, s string) (netip.Prefix, error) { return parsePrefix(s) }, netip.Prefix.String)
}

// domainKind reads "example.org", or ".example.org" for its subdomains.
func domainKind() kind {
	want := `a domain, such as "example.org", or ".example.org" for its subdomains`
	return scalarKind("domain", want, func(_ *decoder, s string) (string, error) { return parseDomain(s) }, same)
}

func parseDomain(s string) (string, error) {
	if rest, ok := strings.CutPrefix(s, "*."); ok {
		return "", fmt.Errorf("%q: subdomains are written %q", s, "."+rest)
	}
	if _, err := mail.ParseAddress("x@"+strings.TrimPrefix(s, "."), true); err != nil {
		return "", fmt.Errorf("%q is not a domain", s)
	}
	return strings.ToLower(s), nil
}

func mailboxKind() kind {
	return textKind("mailbox", `an address, such as "alice@example.org"`, func(s string) error {
		if _, err := mail.ParseAddress(s, true); err != nil {
			return fmt.Errorf("%q is not an address: %w", s, err)
		}
		return nil
	})
}

// fileKind reads a path that starts at the configuration's folder when it is
// relative, and makes it absolute.
func fileKind() kind {
	return scalarKind("path", "a path", func(d *decoder, s string) (string, error) {
		if s == "" {
			return "", errors.New("the path is empty")
		}
		return d.absolute(s), nil
	}, same)
}

func (d *decoder) absolute(path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(d.dir, path)
}

// folderKind reads a path that will be placed below another one.
func folderKind() kind {
	return textKind("path", "a path below data_dir, or an absolute one", func(s string) error {
		if !filepath.IsAbs(s) && !filepath.IsLocal(s) {
			return fmt.Errorf("%q leads out of data_dir; write an absolute path if that is meant", s)
		}
		return nil
	})
}

func sourceKind() kind {
	return textKind("source", `"builtin:NAME", "native:NAME" or the path of a module, such as "./greylist.wasm"`, func(s string) error {
		scheme, name, found := strings.Cut(s, ":")
		switch {
		case found && (scheme == "builtin" || scheme == "native") && isName(name):
			return nil
		case strings.HasPrefix(s, "./") || strings.HasPrefix(s, "../") || filepath.IsAbs(s):
			return nil
		case strings.HasSuffix(s, ".wasm"):
			return fmt.Errorf("%q: a path starts with a dot or a slash: %q", s, "./"+s)
		case isName(s):
			return fmt.Errorf("%q: a plugin that comes with Postroad is written %q", s, "builtin:"+s)
		}
		return fmt.Errorf("%q names no plugin", s)
	})
}

func sha256Kind() kind {
	want := "64 hexadecimal digits, as sha256sum prints them"
	return scalarKind("sha256", want, func(_ *decoder, s string) (string, error) {
		if b, err := hex.DecodeString(s); err != nil || len(b) != 32 {
			return "", fmt.Errorf("%q is not a SHA-256", s)
		}
		return strings.ToLower(s), nil
	}, same)
}

// hopKind reads a pattern of next hops.
func hopKind() kind {
	return textKind("pattern", `a pattern of host:port, such as "10.1.*:25"`, func(s string) error {
		if !strings.Contains(s, ":") && s != "*" {
			return fmt.Errorf("%q has no port; * stands for any", s)
		}
		return nil
	})
}
