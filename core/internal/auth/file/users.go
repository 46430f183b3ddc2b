// SPDX-License-Identifier: Apache-2.0

package file

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/postroad-mail/postroad/core/internal/auth"
)

// User is one line of the file.
type User struct {
	Name    string
	Hash    string                   // of the password: argon2id or bcrypt
	Keys    map[string]*auth.Keyring // of SCRAM, by hash: "SHA-1", "SHA-256"
	Tenant  string
	Senders []string // nil: nothing is said
	Secret  string   // the password itself, for CRAM-MD5; empty: not kept
}

// The most that a file may hold.
const (
	maxFile = 64 << 20
	maxName = 255
)

// Read reads a file of users. Only its owner may read it.
func Read(path string) (map[string]*User, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if err := private(path, info.Mode()); err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	users, err := Parse(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return users, nil
}

func private(path string, mode fs.FileMode) error {
	if mode.Perm()&0o077 != 0 {
		return fmt.Errorf("%s has the mode %04o: others than its owner may read the keys in it; chmod 600 it", path, mode.Perm())
	}
	return nil
}

// Parse reads the text of a file: a user in each line, empty lines and those that
// begin with # say nothing.
//
//	name:hash [scram-sha-256=iterations,salt,stored,server] [scram-sha-1=…] [tenant=…] [senders=…,…] [secret=…]
func Parse(text []byte) (map[string]*User, error) {
	if len(text) > maxFile {
		return nil, fmt.Errorf("the file has more than %d octets", maxFile)
	}
	users := map[string]*User{}
	for i, line := range bytes.Split(text, []byte("\n")) {
		line = bytes.TrimRight(line, " \r")
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		u, err := parseLine(string(line))
		if err == nil && users[u.Name] != nil {
			err = fmt.Errorf("user %q is there already", u.Name)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		users[u.Name] = u
	}
	return users, nil
}

func parseLine(line string) (*User, error) {
	name, rest, ok := strings.Cut(line, ":")
	if !ok {
		return nil, errors.New("expected name:hash")
	}
	if err := CheckName(name); err != nil {
		return nil, err
	}
	words := strings.Split(rest, " ")
	u := &User{Name: name, Hash: words[0], Keys: map[string]*auth.Keyring{}}
	if err := CheckHash(u.Hash); err != nil {
		return nil, err
	}
	for _, w := range words[1:] {
		key, value, _ := strings.Cut(w, "=")
		if err := u.set(key, value); err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
	}
	return u, nil
}

// CheckName says what is wrong with the name of a user.
func CheckName(name string) error {
	switch {
	case name == "" || len(name) > maxName:
		return fmt.Errorf("a user's name has 1 to %d octets", maxName)
	case !utf8.ValidString(name) || strings.ContainsAny(name, ": #") || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return fmt.Errorf("a user's name has no colon, space, # or control character: %q", name)
	}
	return nil
}

func (u *User) set(key, value string) (err error) {
	switch key {
	case "scram-sha-1":
		u.Keys["SHA-1"], err = parseKeys(value, 20)
	case "scram-sha-256":
		u.Keys["SHA-256"], err = parseKeys(value, 32)
	case "tenant":
		u.Tenant = value
	case "senders":
		u.Senders = strings.Split(value, ",")
	case "secret":
		var b []byte
		b, err = base64.StdEncoding.DecodeString(value)
		u.Secret = string(b)
	default:
		err = errors.New("not known; expected scram-sha-1, scram-sha-256, tenant, senders or secret")
	}
	return err
}

func parseKeys(value string, size int) (*auth.Keyring, error) {
	parts := strings.Split(value, ",")
	if len(parts) != 4 {
		return nil, errors.New("expected iterations,salt,stored,server")
	}
	n, err := strconv.Atoi(parts[0])
	if err != nil || n < 4096 || n > 10_000_000 {
		return nil, errors.New("iterations are 4096 to 10000000")
	}
	k := &auth.Keyring{Iterations: n}
	for i, into := range []*[]byte{&k.Salt, &k.StoredKey, &k.ServerKey} {
		if *into, err = base64.StdEncoding.DecodeString(parts[i+1]); err != nil {
			return nil, err
		}
	}
	if len(k.Salt) == 0 || len(k.Salt) > 64 || len(k.StoredKey) != size || len(k.ServerKey) != size {
		return nil, fmt.Errorf("the keys have %d octets each, and there is a salt", size)
	}
	return k, nil
}

// String returns the user's line.
func (u *User) String() string {
	var b strings.Builder
	b.WriteString(u.Name + ":" + u.Hash)
	b64 := base64.StdEncoding.EncodeToString
	for _, hash := range slices.Sorted(maps.Keys(u.Keys)) {
		k := u.Keys[hash]
		fmt.Fprintf(&b, " scram-%s=%d,%s,%s,%s", strings.ToLower(hash), k.Iterations, b64(k.Salt), b64(k.StoredKey), b64(k.ServerKey))
	}
	if u.Tenant != "" {
		b.WriteString(" tenant=" + u.Tenant)
	}
	if u.Senders != nil {
		b.WriteString(" senders=" + strings.Join(u.Senders, ","))
	}
	if u.Secret != "" {
		b.WriteString(" secret=" + b64([]byte(u.Secret)))
	}
	return b.String()
}

// Write writes a file of users, whole or not at all, for its owner alone.
func Write(path string, users map[string]*User) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".users-") // its mode is 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = io.WriteString(f, text(users))
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

func text(users map[string]*User) string {
	var b strings.Builder
	b.WriteString("# Users of Postroad. `postroad user` writes this file; it is for its owner alone.\n")
	for _, name := range slices.Sorted(maps.Keys(users)) {
		b.WriteString(users[name].String() + "\n")
	}
	return b.String()
}

func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
