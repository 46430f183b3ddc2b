// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"embed"
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

//go:embed main.cf master.cf main-tuned.cf master-tuned.cf addfield.py
var postfixFiles embed.FS

// milterKind is what filters for Postfix.
type milterKind int

const (
	noMilter milterKind = iota
	goMilter
	pythonMilter
)

// postfix starts an installed Postfix with a configuration, queue and log of
// its own; the installed ones are not touched. The configuration is Debian's
// (main.cf, master.cf), or one for throughput (main-tuned.cf, master-tuned.cf).
type postfix struct {
	self, dir string
	tuned     bool
}

// inTune returns the same with the configuration for throughput.
func (p postfix) inTune() postfix {
	p.tuned = true
	return p
}

// missing needs root because Postfix does: its master starts programs as other
// users, and those have to reach the queue.
func (p postfix) missing() error {
	if _, err := postfixProgram("postconf"); err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return errors.New("only root can start Postfix")
	}
	_, errUser := user.Lookup("postfix")
	_, errGroup := user.LookupGroup("postdrop")
	return errors.Join(errUser, errGroup, reachable(filepath.Dir(p.dir)))
}

// reachable reports a folder above or at dir that other users may not enter.
func reachable(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if info.Mode()&0o001 == 0 {
		return fmt.Errorf("the user postfix may not enter %s; choose another folder with -dir", dir)
	}
	if parent := filepath.Dir(dir); parent != dir {
		return reachable(parent)
	}
	return nil
}

// postfixProgram finds a program of Postfix.
func postfixProgram(name string) (string, error) {
	path, err := systemProgram(name)
	if err != nil {
		return "", fmt.Errorf("%w (on Debian: the package postfix)", err)
	}
	return path, nil
}

// systemProgram finds a program that may be outside the path of users.
func systemProgram(name string) (string, error) {
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/usr/local/sbin") {
		if path := filepath.Join(dir, name); executable(path) {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is not installed", name)
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// setting returns what the installed Postfix was built with.
func (postfix) setting(ctx context.Context, name string) (string, error) {
	postconf, err := postfixProgram("postconf")
	if err != nil {
		return "", err
	}
	out, err := exec.CommandContext(ctx, postconf, "-dh", name).Output()
	return strings.TrimSpace(string(out)), err
}

// pythonMissing asks for pymilter as well.
func (p postfix) pythonMissing() error {
	if err := p.missing(); err != nil {
		return err
	}
	if err := exec.Command(python, "-c", "import Milter").Run(); err != nil {
		return errors.New("pymilter is not installed (on Debian: the package python3-milter)")
	}
	return nil
}

// python is the system's, for which packages install.
const python = "/usr/bin/python3"

func (p postfix) starter(milter milterKind) func(context.Context, place) (*server, error) {
	return func(ctx context.Context, at place) (*server, error) { return p.start(ctx, at, milter) }
}

// postfixConfig is what main.cf and master.cf are filled with.
type postfixConfig struct {
	Dir, Listen, NextHost, NextPort, Milter string
	Sessions                                int // connections that have to be taken at once
}

// Limit leaves room for the connections of another moment that are ending.
func (c postfixConfig) Limit() int { return c.Sessions + 20 }

func (p postfix) start(ctx context.Context, at place, milter milterKind) (_ *server, err error) {
	s := &server{queued: func(context.Context) (int, error) { return postfixQueue(at.dir) }}
	defer func() {
		if err != nil {
			s.stop()
		}
	}()
	if s.addr, err = freeAddress(); err != nil {
		return nil, err
	}
	c := postfixConfig{Dir: at.dir, Listen: s.addr, Sessions: at.sessions}
	if c.NextHost, c.NextPort, err = net.SplitHostPort(at.nextHop); err != nil {
		return nil, err
	}
	if milter != noMilter {
		if c.Milter, err = p.startMilter(ctx, s, at.dir, milter); err != nil {
			return nil, err
		}
	}
	return s, p.startMaster(ctx, s, c)
}

// startMilter starts the milter and returns its socket, which Postfix's own
// user has to be able to open.
func (p postfix) startMilter(ctx context.Context, s *server, dir string, kind milterKind) (string, error) {
	socket := filepath.Join(dir, "milter.sock")
	start := p.startGoMilter
	if kind == pythonMilter {
		start = startPythonMilter
	}
	m, err := start(ctx, dir, socket)
	if m != nil {
		s.processes = append(s.processes, m)
	}
	if err != nil {
		return "", err
	}
	return socket, os.Chmod(socket, 0o666)
}

func (p postfix) startGoMilter(_ context.Context, dir, socket string) (*process, error) {
	m, _, err := startHelper(p.self, filepath.Join(dir, "milter.log"), "milter", socket)
	return m, err
}

// startPythonMilter returns when the milter has made its socket.
func startPythonMilter(ctx context.Context, dir, socket string) (*process, error) {
	script, err := postfixFiles.ReadFile("addfield.py")
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "addfield.py")
	if err := os.WriteFile(file, script, 0o644); err != nil {
		return nil, err
	}
	m, err := startServer("pymilter", filepath.Join(dir, "milter.log"), nil, python, file, socket)
	if err != nil {
		return nil, err
	}
	return m, m.await(ctx, "made no socket", func() bool { _, err := os.Stat(socket); return err == nil })
}

func (p postfix) startMaster(ctx context.Context, s *server, c postfixConfig) error {
	etc, err := p.write(c)
	if err != nil {
		return err
	}
	daemons, err := p.setting(ctx, "daemon_directory")
	if err != nil {
		return err
	}
	master, err := startServer("postfix", filepath.Join(c.Dir, "log"), []string{"MAIL_CONFIG=" + etc, "MAIL_LOGTAG=postfix"},
		filepath.Join(daemons, "master"), "-c", etc, "-d")
	if err != nil {
		return err
	}
	master.log = filepath.Join(c.Dir, "maillog") // where Postfix says what is wrong
	s.processes = append(s.processes, master)
	return waitGreeting(ctx, master, s.addr)
}

// write makes the folders and files that Postfix expects, with the
// owners that it checks, and returns the configuration's folder.
func (p postfix) write(c postfixConfig) (string, error) {
	etc := filepath.Join(c.Dir, "etc")
	errs := []error{os.Chmod(c.Dir, 0o755), os.Mkdir(etc, 0o755), os.Mkdir(filepath.Join(c.Dir, "spool"), 0o755),
		os.WriteFile(filepath.Join(c.Dir, "maillog"), nil, 0o644), postfixFolders(c.Dir)}
	files, err := template.ParseFS(postfixFiles, "*.cf")
	if err != nil {
		return "", err
	}
	for _, name := range []string{"main", "master"} {
		source := name + ".cf"
		if p.tuned {
			source = name + "-tuned.cf"
		}
		var text strings.Builder
		errs = append(errs, files.ExecuteTemplate(&text, source, c),
			os.WriteFile(filepath.Join(etc, name+".cf"), []byte(text.String()), 0o644))
	}
	return etc, errors.Join(errs...)
}

// postfixFolders makes the queue's folders; most belong to the user postfix,
// two let the group postdrop in.
func postfixFolders(dir string) error {
	owner, err1 := user.Lookup("postfix")
	group, err2 := user.LookupGroup("postdrop")
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	uid, err1 := strconv.Atoi(owner.Uid)
	gid, err2 := strconv.Atoi(group.Gid)
	errs := []error{err1, err2, folder(filepath.Join(dir, "data"), 0o700, uid, -1), folder(filepath.Join(dir, "spool", "pid"), 0o755, -1, -1),
		folder(filepath.Join(dir, "spool", "maildrop"), 0o730, uid, gid), folder(filepath.Join(dir, "spool", "public"), 0o710, uid, gid)}
	for _, name := range []string{"active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private", "saved", "trace"} {
		errs = append(errs, folder(filepath.Join(dir, "spool", name), 0o700, uid, -1))
	}
	return errors.Join(errs...)
}

func folder(path string, mode fs.FileMode, uid, gid int) error {
	return errors.Join(os.Mkdir(path, mode), os.Chmod(path, mode), os.Chown(path, uid, gid))
}

// postfixQueue counts the messages of the queue: a file that moves meanwhile is
// there twice, under the same name.
func postfixQueue(dir string) (n int, err error) {
	ids := map[string]bool{}
	for _, name := range []string{"incoming", "active", "deferred"} {
		err = errors.Join(err, filepath.WalkDir(filepath.Join(dir, "spool", name), func(_ string, e fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // moved meanwhile
			}
			if err == nil && e.Type().IsRegular() {
				ids[e.Name()] = true
			}
			return err
		}))
	}
	return len(ids), err
}
