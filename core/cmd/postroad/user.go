// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/xdg-go/stringprep"
	"golang.org/x/term"

	"github.com/postroad-mail/postroad/core/internal/auth/file"
	"github.com/postroad-mail/postroad/core/relay"
)

type userCmd struct {
	Users string `placeholder:"NAME" help:"The users block of the configuration; needed when several have a file."`

	Add    userAddCmd    `cmd:"" help:"Add a user. The password is asked for, or read from standard input."`
	Passwd userPasswdCmd `cmd:"" help:"Give a user another password."`
	List   userListCmd   `cmd:"" help:"List the users."`
	Rm     userRmCmd     `cmd:"" help:"Remove a user."`
}

// edit reads the file of users, has it changed, and writes it.
func (k *userCmd) edit(c *cli, change func(users map[string]*file.User) error) error {
	path, users, err := k.read(c)
	if err != nil {
		return err
	}
	if err := change(users); err != nil {
		return err
	}
	return file.Write(path, users)
}

func (k *userCmd) read(c *cli) (path string, users map[string]*file.User, err error) {
	if path, err = relay.UsersFile(relay.Options{ConfigFile: c.Config}, k.Users); err != nil {
		return "", nil, err
	}
	users, err = file.Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return path, map[string]*file.User{}, nil
	}
	return path, users, err
}

type userAddCmd struct {
	Name    string   `arg:"" help:"What the user logs in with, often the mail address."`
	Tenant  string   `help:"Whose mail the user sends."`
	Senders []string `name:"sender" placeholder:"ADDRESS" help:"Address that the user may send as, or @DOMAIN; several times for several. Any if left out."`
	CRAM    bool     `name:"cram" help:"Keep the password itself, for CRAM-MD5. Whoever reads the file then knows it."`
}

// Run adds a user.
func (k userAddCmd) Run(all *userCmd, c *cli, s streams) error {
	if err := k.check(); err != nil {
		return &codedError{exitUsage, err}
	}
	return all.edit(c, func(users map[string]*file.User) error {
		if users[k.Name] != nil {
			return &codedError{exitData, fmt.Errorf("user %s is there already; postroad user passwd gives another password", k.Name)}
		}
		u := &file.User{Name: k.Name, Tenant: k.Tenant, Senders: k.Senders}
		users[k.Name] = u
		return newPassword(s, u, k.CRAM)
	})
}

func (k userAddCmd) check() error {
	if err := file.CheckName(k.Name); err != nil {
		return err
	}
	if strings.ContainsAny(k.Tenant, " \t\n") {
		return fmt.Errorf("a tenant has no space in its name: %q", k.Tenant)
	}
	for _, a := range k.Senders {
		if cut := strings.LastIndexByte(a, '@'); cut < 0 || cut == len(a)-1 || strings.ContainsAny(a, " \t\n,") {
			return fmt.Errorf("%q is neither an address nor @DOMAIN", a)
		}
	}
	return nil
}

type userPasswdCmd struct {
	Name string `arg:"" help:"The user."`
	CRAM bool   `name:"cram" help:"Keep the password itself, for CRAM-MD5."`
}

// Run gives a user another password.
func (k userPasswdCmd) Run(all *userCmd, c *cli, s streams) error {
	return all.edit(c, func(users map[string]*file.User) error {
		if users[k.Name] == nil {
			return noUser(k.Name)
		}
		return newPassword(s, users[k.Name], k.CRAM)
	})
}

type userRmCmd struct {
	Name string `arg:"" help:"The user."`
}

// Run removes a user.
func (k userRmCmd) Run(all *userCmd, c *cli) error {
	return all.edit(c, func(users map[string]*file.User) error {
		if users[k.Name] == nil {
			return noUser(k.Name)
		}
		delete(users, k.Name)
		return nil
	})
}

func noUser(name string) error {
	return &codedError{exitData, fmt.Errorf("there is no user %s; postroad user list shows who is there", name)}
}

type userListCmd struct{}

// userLine is a user as list prints it.
type userLine struct {
	Name    string   `json:"name"`
	Tenant  string   `json:"tenant,omitempty"`
	Senders []string `json:"senders,omitempty"`
	CRAM    bool     `json:"cram,omitempty"`
}

// Run lists the users, without their keys.
func (userListCmd) Run(all *userCmd, c *cli, s streams) error {
	_, users, err := all.read(c)
	if err != nil {
		return err
	}
	lines := []userLine{}
	for _, name := range slices.Sorted(maps.Keys(users)) {
		u := users[name]
		lines = append(lines, userLine{u.Name, u.Tenant, u.Senders, u.Secret != ""})
	}
	if c.JSON {
		return printJSON(s.out, lines)
	}
	for _, l := range lines {
		fmt.Fprintln(s.out, l.String())
	}
	return nil
}

func (l userLine) String() string {
	words := []string{l.Name}
	if l.Tenant != "" {
		words = append(words, "tenant "+l.Tenant)
	}
	if l.Senders != nil {
		words = append(words, "sends as "+strings.Join(l.Senders, ", "))
	}
	if l.CRAM {
		words = append(words, "password kept for CRAM-MD5")
	}
	return strings.Join(words, "  ")
}

// newPassword asks for a password and derives what the file keeps of it.
func newPassword(s streams, u *file.User, cram bool) error {
	password, err := askPassword(s, u.Name)
	if err != nil {
		return err
	}
	if password, err = stringprep.SASLprep.Prepare(password); err != nil || password == "" {
		return &codedError{exitUsage, errors.New("the password is empty, or holds characters that no mail client can send (RFC 4013)")}
	}
	if u.Hash, err = file.Hash(password); err != nil {
		return err
	}
	u.Keys, u.Secret = file.Keys(password), ""
	if cram {
		u.Secret = password
		fmt.Fprintln(s.err, "postroad: the password itself is kept, for CRAM-MD5: who reads the file knows it")
	}
	return nil
}

// askPassword asks twice at a terminal, and reads a line from anything else.
func askPassword(s streams, name string) (string, error) {
	f, ok := s.in.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		line, err := bufio.NewReader(io.LimitReader(s.in, 4096)).ReadString('\n')
		if errors.Is(err, io.EOF) {
			err = nil
		}
		return strings.TrimRight(line, "\r\n"), err
	}
	first, err := askOnce(s, f, "Password of "+name+": ")
	if err != nil {
		return "", err
	}
	again, err := askOnce(s, f, "Again: ")
	if err == nil && first != again {
		err = &codedError{exitUsage, errors.New("the two passwords differ")}
	}
	return first, err
}

func askOnce(s streams, f *os.File, prompt string) (string, error) {
	fmt.Fprint(s.err, prompt)
	b, err := term.ReadPassword(int(f.Fd()))
	fmt.Fprintln(s.err)
	return string(b), err
}
