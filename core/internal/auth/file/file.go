// SPDX-License-Identifier: Apache-2.0

// Package file is a directory of accounts in one text file: a user in each line,
// with a hash of the password and the keys of SCRAM. It knows no password but where
// CRAM-MD5 was asked for.
package file

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/xdg-go/stringprep"

	"github.com/postroad-mail/postroad/core/internal/auth"
)

// Directory is an open file. It follows the file as it changes, and is used by
// many sessions at once.
type Directory struct {
	path string
	work chan struct{} // one place for each password that may be hashed at once
	none string        // the hash that passwords of nobody are compared with

	mu    sync.Mutex
	users map[string]*User
	seen  stamp
	fault error // of the last reading
}

// stamp tells a file from what it was before.
type stamp struct {
	size  int64
	mtime time.Time
	inode uint64
}

// Open reads the file for the first time: that it cannot be read is an error now,
// not when the first user comes. That it is not there yet is none, but see Fault.
func Open(path string) (*Directory, error) {
	d, err := newDirectory(path)
	if err != nil {
		return nil, err
	}
	if err := d.refresh(); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return d, nil
}

// Fixed returns a directory of these users, which no file is behind.
func Fixed(users ...*User) (*Directory, error) {
	d, err := newDirectory("")
	if err != nil {
		return nil, err
	}
	d.users = map[string]*User{}
	for _, u := range users {
		d.users[u.Name] = u
	}
	return d, nil
}

// NewUser returns a user with a password, both prepared as what clients send is
// (RFC 4013).
func NewUser(name, password string) (*User, error) {
	name, err1 := stringprep.SASLprep.Prepare(name)
	password, err2 := stringprep.SASLprep.Prepare(password)
	if err1 != nil || err2 != nil || name == "" || password == "" {
		return nil, errors.New("name or password are empty, or hold characters that no mail client can send (RFC 4013)")
	}
	hash, err := Hash(password)
	return &User{Name: name, Hash: hash, Keys: Keys(password)}, err
}

func newDirectory(path string) (*Directory, error) {
	none, err := Hash(rand.Text())
	return &Directory{path: path, none: none, work: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)))}, err
}

// refresh reads the file again if it has changed. With a fault the users stay as
// they were.
func (d *Directory) refresh() error {
	if d.path == "" {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	info, err := os.Stat(d.path)
	if err != nil {
		return d.missing(err)
	}
	now := stampOf(info)
	if now == d.seen {
		return d.fault
	}
	d.seen = now
	users, err := Read(d.path)
	if d.fault = err; err == nil {
		d.users = users
	}
	return err
}

func (d *Directory) missing(err error) error {
	d.seen = stamp{}
	if errors.Is(err, fs.ErrNotExist) {
		err = &noFile{d.path, err}
		if d.users == nil {
			d.users = map[string]*User{}
		}
	}
	d.fault = err
	return err
}

// noFile is the error of a file that is not there.
type noFile struct {
	path  string
	cause error
}

func (e *noFile) Error() string {
	return fmt.Sprintf("there is no file %s\n`postroad user add` makes it", e.path)
}

func (e *noFile) Unwrap() error { return e.cause }

// find returns a user as the file has it now, nil when there is none. What is
// wrong with the file is a fault only as long as nothing was read from it.
func (d *Directory) find(name string) (*User, error) {
	err := d.refresh()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.users == nil {
		return nil, err
	}
	return d.users[name], nil
}

// Fault returns what was wrong with the file when it was read last, nil if all was
// well.
func (d *Directory) Fault() error { return d.refresh() }

// Password implements auth.Passwords. A user that there is not costs as much as a
// wrong password.
func (d *Directory) Password(ctx context.Context, a auth.Attempt) (*auth.Account, error) {
	u, err := d.find(a.User)
	if err != nil {
		return nil, err
	}
	hash := d.none
	if u != nil {
		hash = u.Hash
	}
	select {
	case d.work <- struct{}{}:
		defer func() { <-d.work }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if !Matches(hash, a.Password) || u == nil {
		return nil, auth.ErrDenied
	}
	return u.account(), nil
}

// Keys implements auth.Keys.
func (d *Directory) Keys(_ context.Context, hash, user string) (*auth.Keyring, *auth.Account, error) {
	u, err := d.find(user)
	switch {
	case err != nil:
		return nil, nil, err
	case u == nil || u.Keys[hash] == nil:
		return nil, nil, auth.ErrDenied
	}
	return u.Keys[hash], u.account(), nil
}

// Secret implements auth.Secrets.
func (d *Directory) Secret(_ context.Context, user string) (string, *auth.Account, error) {
	u, err := d.find(user)
	switch {
	case err != nil:
		return "", nil, err
	case u == nil || u.Secret == "":
		return "", nil, auth.ErrDenied
	}
	return u.Secret, u.account(), nil
}

func (u *User) account() *auth.Account {
	return &auth.Account{User: u.Name, Tenant: u.Tenant, Senders: u.Senders}
}
