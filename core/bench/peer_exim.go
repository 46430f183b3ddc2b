// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"text/template"
)

//go:embed exim.conf
var eximConfig string

// exim starts an Exim with a configuration, queue and log of its own. Its Debian
// package cannot be installed beside Postfix's; a binary that was unpacked from
// it does as well.
type exim struct{ binary, dir string }

// eximUser is compiled into Debian's Exim; its queue has to belong to it.
const eximUser = "Debian-exim"

// program returns the binary that was named or is installed.
func (e exim) program() (string, error) {
	if e.binary != "" {
		path, err := filepath.Abs(e.binary)
		if err == nil && !executable(path) {
			err = fmt.Errorf("-exim: there is no program %s", path)
		}
		return path, err
	}
	for _, name := range []string{"exim4", "exim"} {
		if path, err := systemProgram(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("exim4 is not installed (on Debian: the package exim4-daemon-light), and there is no -exim with its binary")
}

// version is what Exim says of itself: "Exim version 4.96 #2 built …".
func (e exim) version(ctx context.Context) (string, error) {
	program, err := e.program()
	if err != nil {
		return "", err
	}
	out, err := exec.CommandContext(ctx, program, "-bV").Output() // fails where no configuration is installed
	_, rest, ok := strings.Cut(string(out), "Exim version ")
	if !ok {
		return "", fmt.Errorf("%s does not tell its version: %w", program, err)
	}
	version, _, _ := strings.Cut(rest, " ")
	return version, nil
}

func (e exim) missing() error {
	if _, err := e.version(context.Background()); err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return errors.New("only root can start Exim")
	}
	if _, err := user.Lookup(eximUser); err != nil {
		return err
	}
	return reachable(filepath.Dir(e.dir))
}

func (e exim) start(ctx context.Context, at place) (*server, error) {
	program, err := e.program()
	if err != nil {
		return nil, err
	}
	addr, err := freeAddress()
	if err != nil {
		return nil, err
	}
	config, err := e.configure(at, addr, program)
	if err != nil {
		return nil, err
	}
	run, err := startServer("exim", filepath.Join(at.dir, "output"), nil, program, "-C", config, "-bdf", "-q30m")
	if err != nil {
		return nil, err
	}
	s := &server{addr: addr, processes: []*process{run}, detached: true, queued: func(context.Context) (int, error) { return eximQueue(at.dir) }}
	if err := waitGreeting(ctx, run, addr); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// configure writes the configuration, which Exim demands to be root's, and makes
// the folders of its user.
func (e exim) configure(at place, addr, program string) (string, error) {
	c := struct{ Program, Dir, Host, Port, NextHost, NextPort string }{Program: program, Dir: at.dir}
	var err1, err2 error
	c.Host, c.Port, err1 = net.SplitHostPort(addr)
	c.NextHost, c.NextPort, err2 = net.SplitHostPort(at.nextHop)
	t, err := template.New("exim.conf").Parse(eximConfig)
	if err := errors.Join(err, err1, err2, e.folders(at.dir)); err != nil {
		return "", err
	}
	var text strings.Builder
	if err := t.Execute(&text, c); err != nil {
		return "", err
	}
	file := filepath.Join(at.dir, "exim.conf")
	return file, os.WriteFile(file, []byte(text.String()), 0o644)
}

func (e exim) folders(dir string) error {
	owner, err := user.Lookup(eximUser)
	if err != nil {
		return err
	}
	uid, err1 := strconv.Atoi(owner.Uid)
	gid, err2 := strconv.Atoi(owner.Gid)
	return errors.Join(err1, err2, os.Chmod(dir, 0o755),
		folder(filepath.Join(dir, "spool"), 0o750, uid, gid), folder(filepath.Join(dir, "log"), 0o750, uid, gid))
}

// eximQueue counts the messages: each has a file ID-H with its envelope.
func eximQueue(dir string) (n int, err error) {
	err = filepath.WalkDir(filepath.Join(dir, "spool", "input"), func(_ string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // delivered meanwhile
		}
		if err == nil && strings.HasSuffix(e.Name(), "-H") {
			n++
		}
		return err
	})
	return n, err
}
