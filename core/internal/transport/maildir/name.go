// SPDX-License-Identifier: Apache-2.0

package maildir

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"sync/atomic"

	"golang.org/x/net/idna"

	"github.com/postroad-mail/postroad/core/mail"
)

// maxName is the longest name that file systems take, in octets.
const maxName = 255

// Path returns the mailbox folder of an address below its root:
// "example.org/alice". Upper and lower case are the same, and so are a domain's
// U-labels and A-labels and a local part with and without needless quotes.
func Path(a mail.Address) (string, error) {
	at := strings.LastIndexByte(string(a), '@')
	if at <= 0 || at == len(a)-1 {
		return "", mail.ErrNoDomain
	}
	domain := a.Domain()
	if !mail.Address(domain).ASCII() {
		ascii, err := idna.Lookup.ToASCII(domain)
		if err != nil {
			return "", err
		}
		domain = ascii
	}
	d, l := Name(domain), Name(unquote(string(a[:at])))
	if len(d) > maxName || len(l) > maxName || d == "" || l == "" {
		return "", mail.ErrAddressSize
	}
	return d + "/" + l, nil
}

// Name encodes s as the name of a file: letters in lower case, and all but
// a-z 0-9 . _ + - as "%" and two hexadecimal digits for each octet. A dot at the
// start is encoded too. Different strings that differ in more than the case of
// ASCII letters have different names.
func Name(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || strings.IndexByte("_+-", c) >= 0 || c == '.' && i > 0 {
			b.WriteByte(c)
			continue
		}
		fmt.Fprintf(&b, "%%%02x", c)
	}
	return b.String()
}

// unquote returns what a Quoted-string stands for (RFC 5321 §4.1.2).
func unquote(local string) string {
	if len(local) < 2 || local[0] != '"' || local[len(local)-1] != '"' {
		return local
	}
	var b strings.Builder
	in := local[1 : len(local)-1]
	for i := 0; i < len(in); i++ {
		if in[i] == '\\' && i+1 < len(in) {
			i++
		}
		b.WriteByte(in[i])
	}
	return b.String()
}

// names makes the names of messages, each of them once: time, process, a
// counter, and 64 random bits, for processes in different containers may have
// the same number and name.
type names struct {
	clock Clock
	host  string
	count atomic.Uint64
}

func (n *names) next() string {
	var random [8]byte
	rand.Read(random[:]) // never fails
	now := n.clock.Now()
	return fmt.Sprintf("%d.M%06dP%dQ%dR%s.%s", now.Unix(), now.Nanosecond()/1000, os.Getpid(),
		n.count.Add(1), hex.EncodeToString(random[:]), n.host)
}

// safeHost returns a host name as it may stand in a message's name.
func safeHost(host string) string {
	host = strings.Map(func(r rune) rune {
		if r <= ' ' || r >= 0x7f || strings.ContainsRune("/:,", r) {
			return '_'
		}
		return r
	}, host)
	if host == "" {
		return "localhost"
	}
	return host[:min(len(host), 100)]
}
