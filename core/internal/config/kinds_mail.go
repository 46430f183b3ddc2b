// SPDX-License-Identifier: Apache-2.0

package config

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/postroad-mail/postroad/core/internal/grant"
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
	return SameDomain(s), nil
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
	return textKind("source", `"builtin:NAME", "native:NAME", "oci:HOST/REPOSITORY@sha256:DIGEST" or the path of a module, such as "./greylist.wasm"`, func(s string) error {
		scheme := sourceScheme(s)
		switch {
		case scheme == "oci":
			return checkImage(strings.TrimPrefix(s, "oci:"))
		case scheme != "" && isName(s[len(scheme)+1:]):
			return nil
		case strings.HasPrefix(s, "./") || strings.HasPrefix(s, "../") || filepath.IsAbs(s):
			return nil
		case strings.Contains(s, "://"):
			return fmt.Errorf("%q: nothing is loaded from a URL; download it and pin it with sha256, or push it to a registry", s)
		case strings.HasSuffix(s, ".wasm"):
			return fmt.Errorf("%q: a path starts with a dot or a slash: %q", s, "./"+s)
		case isName(s):
			return fmt.Errorf("%q: a plugin that comes with Postroad is written %q", s, "builtin:"+s)
		}
		return fmt.Errorf("%q names no plugin", s)
	})
}

// checkImage checks HOST/REPOSITORY@sha256:DIGEST, the name of an image in an
// OCI registry (OCI Distribution 1.1, "Pulling manifests").
func checkImage(ref string) error {
	name, digest, pinned := strings.Cut(ref, "@")
	host, repository, found := strings.Cut(name, "/")
	if _, err := splitHostPort(withPort(host, 443), 1); err != nil || !found {
		return fmt.Errorf("%q does not start with a registry and a repository, such as \"ghcr.io/example/greylist\"", "oci:"+ref)
	}
	repository, tag, tagged := strings.Cut(repository, ":")
	if !regexp.MustCompile(`^[a-z0-9]+([._/-]+[a-z0-9]+)*$`).MatchString(repository) {
		return fmt.Errorf("%q is not the name of a repository: lower-case letters and digits, with . _ - / between them", repository)
	}
	image := host + "/" + repository
	if !pinned {
		return fmt.Errorf("%q does not say which code it is, for %s; name the digest, which `oras resolve %s` prints: %q",
			"oci:"+ref, movable(tag, tagged), strings.TrimSuffix(image+":"+tag, ":"), "oci:"+image+"@sha256:…")
	}
	hash, ok := strings.CutPrefix(digest, "sha256:")
	if b, err := hex.DecodeString(hash); !ok || err != nil || len(b) != 32 || hash != strings.ToLower(hash) {
		return fmt.Errorf("%q is not a digest: expected sha256: and 64 hexadecimal digits in lower case", digest)
	}
	return nil
}

func movable(tag string, tagged bool) string {
	if !tagged {
		return "a repository holds many versions"
	}
	return fmt.Sprintf("the tag %q can be moved to other code at any time", tag)
}

// withPort appends a port to a host that has none.
func withPort(host string, port int) string {
	if strings.Contains(host, ":") && !strings.HasSuffix(host, "]") {
		return host
	}
	return host + ":" + strconv.Itoa(port)
}

// publicKeyKind reads a minisign public key: base64 of "Ed", the key's id of 8
// octets and an Ed25519 key of 32; or the path of its file, which it makes
// absolute.
func publicKeyKind() kind {
	want := `a minisign public key: the second line of the file minisign.pub, 56 characters that start with "RW", or the path of that file, such as "./minisign.pub"`
	return scalarKind("minisign key", want, func(d *decoder, s string) (string, error) {
		if strings.HasPrefix(s, "./") || strings.HasPrefix(s, "../") || filepath.IsAbs(s) {
			return d.absolute(s), nil
		}
		if b, err := base64.StdEncoding.DecodeString(s); err != nil || len(b) != 42 || string(b[:2]) != "Ed" {
			return "", fmt.Errorf("%q is not a minisign public key", s)
		}
		return s, nil
	}, same)
}

// webHostKind reads a host that a plugin may ask by HTTP: with a scheme or a
// port it stands for that one alone, with the port "*" for all.
func webHostKind() kind {
	want := `a host, such as "api.example.org", "https://api.example.org:8443", "10.0.0.1:*", "*.example.org" for the subdomains, or "*"`
	return scalarKind("host", want, func(_ *decoder, s string) (string, error) {
		s = strings.ToLower(s)
		rest := strings.TrimPrefix(strings.TrimPrefix(s, "https://"), "http://")
		if strings.ContainsAny(rest, "/?#@") {
			return "", fmt.Errorf("%q is more than a host: a grant names hosts, not paths", s)
		}
		host, err := splitHostPort(withPort(strings.TrimSuffix(rest, ":*"), 443), 1)
		if err != nil || !isWebHost(host) {
			return "", fmt.Errorf("%q is not a host", s)
		}
		return s, nil
	}, same)
}

func isWebHost(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil || host == "*" {
		return true
	}
	host = strings.TrimPrefix(host, "*.")
	return host != "" && strings.Trim(host, "abcdefghijklmnopqrstuvwxyz0123456789._-") == "" && strings.Trim(host, ".-") == host
}

// secretNameKind reads the name of a secret, as the function secret does.
func secretNameKind() kind {
	return textKind("secret name", "the name of a secret, such as \"api-key\"", func(s string) error {
		if s != "*" && !isName(s) {
			return fmt.Errorf("%q is not a name of letters, digits, _ and -", s)
		}
		return nil
	})
}

// shareKind reads a part of something, "10%".
func shareKind(of string) kind {
	want := "a share of " + of + ` with a percent sign, more than "0%" and at most "100%", such as "10%" or "0.5%"`
	return scalarKind("share", want, func(_ *decoder, s string) (float64, error) {
		number, found := strings.CutSuffix(s, "%")
		if !found {
			return 0, fmt.Errorf("%q has no percent sign", s)
		}
		n, err := strconv.ParseFloat(number, 64)
		if err != nil || strings.ContainsFunc(number, func(r rune) bool { return r != '.' && (r < '0' || r > '9') }) {
			return 0, fmt.Errorf("%q is not a number with a percent sign", s)
		}
		if n <= 0 || n > 100 {
			return 0, fmt.Errorf("%q is out of range", s)
		}
		return n / 100, nil
	}, func(f float64) string { return strconv.FormatFloat(math.Round(f*1e10)/1e8, 'f', -1, 64) + "%" })
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
	return textKind("pattern", `a pattern of host:port, such as "10.1.*:25"`, grant.CheckHop)
}

// labelKind is the name of a tenant or a campaign.
func labelKind() kind {
	return textKind("name", `1 to 64 printable ASCII characters without a space, such as "shop-17"`, func(s string) error {
		if !mail.ValidLabel(s) {
			return fmt.Errorf("%q is not such a name", s)
		}
		return nil
	})
}

// fieldNameKind is the name of a header field that is ours to take out: not one
// that a message needs.
func fieldNameKind() kind {
	return textKind("field name", `the name of a header field, such as "X-Tenant"`, func(s string) error {
		if s == "" || len(s) > 64 || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == ':' }) {
			return fmt.Errorf("%q is not the name of a header field", s)
		}
		switch low := strings.ToLower(s); low {
		case "received", "from", "sender", "to", "cc", "date", "subject", "message-id", "mime-version", "dkim-signature", "return-path":
			return fmt.Errorf("a message needs its field %s", s)
		default:
			if strings.HasPrefix(low, "content-") || strings.HasPrefix(low, "arc-") {
				return fmt.Errorf("a message needs its field %s", s)
			}
		}
		return nil
	})
}
