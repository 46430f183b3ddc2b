// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
)

// Kinds of listeners.
const (
	KindSMTP       = "smtp"       // RFC 5321: from other hosts, and for those who may relay
	KindSubmission = "submission" // RFC 6409: from those who have logged in
	KindLMTP       = "lmtp"       // RFC 2033: one reply for each recipient
)

func listenerKinds() []string { return []string{KindSMTP, KindSubmission, KindLMTP} }

// socketModeKind reads the rights of a socket's file, as chmod has them.
func socketModeKind() kind {
	want := `the rights of a file as four octal digits, such as "0660"`
	return scalarKind("file mode", want, func(_ *decoder, s string) (fs.FileMode, error) {
		n, err := strconv.ParseUint(s, 8, 32)
		if err != nil || len(s) != 4 || s[0] != '0' {
			return 0, fmt.Errorf("%q is not a file mode", s)
		}
		return fs.FileMode(n), nil
	}, func(m fs.FileMode) string { return fmt.Sprintf("%04o", uint32(m)) })
}

// groupKind reads the name or number of a group of the system.
func groupKind() kind {
	return textKind("group", `the name or the number of a group, such as "postfix"`, func(s string) error {
		if s == "" {
			return nil
		}
		for _, r := range s {
			if r <= ' ' || r >= 0x7f || r == ':' || r == '/' {
				return errors.New("that is not a group")
			}
		}
		return nil
	})
}
