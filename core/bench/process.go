// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// startTime is how long a process may take until it does its work.
const startTime = 60 * time.Second

// stopTime is how long a process may take to end after SIGTERM.
const stopTime = 40 * time.Second

// process is a program that was started here and is ended here. It leads a
// session of its own, so that what it forks can be ended with it.
type process struct {
	name string
	cmd  *exec.Cmd
	log  string // file with its output
	done chan struct{}

	in  io.WriteCloser // of helpers: its end tells the helper to end
	out *bufio.Reader  // of helpers

	reader io.Closer // beneath out
}

// startServer starts a program whose output goes to logFile.
func startServer(name, logFile string, env []string, argv ...string) (*process, error) {
	p := newProcess(name, logFile, argv)
	p.cmd.Env = append(os.Environ(), env...)
	f, err := os.Create(logFile)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	p.cmd.Stdout, p.cmd.Stderr = f, f
	return p, p.start()
}

// startHelper starts this binary again as one of its helpers and returns with
// the first line that it writes.
func startHelper(self, logFile string, args ...string) (p *process, line string, err error) {
	p = newProcess(args[0], logFile, append([]string{self}, args...))
	f, err := os.Create(logFile)
	if err != nil {
		return nil, "", err
	}
	defer f.Close()
	p.cmd.Stderr = f
	r, w, err := os.Pipe() // StdoutPipe would be closed by Wait while it is read
	if err != nil {
		return nil, "", err
	}
	defer w.Close()
	p.cmd.Stdout, p.reader, p.out = w, r, bufio.NewReader(r)
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, "", err
	}
	if err := p.start(); err != nil {
		return nil, "", err
	}
	w.Close()
	line, err = p.out.ReadString('\n')
	if err != nil {
		p.stop()
		return nil, "", p.fault("did not start")
	}
	return p, strings.TrimSpace(line), nil
}

func newProcess(name, logFile string, argv []string) *process {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return &process{name: name, cmd: cmd, log: logFile, done: make(chan struct{})}
}

func (p *process) start() error {
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", p.name, err)
	}
	go func() {
		_ = p.cmd.Wait() // how it ended does not matter: fault reads its log
		close(p.done)
	}()
	return nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// ended reports whether the process is gone.
func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// stop ends the process and all of its session, and waits for it.
func (p *process) stop() {
	if p.in != nil {
		p.in.Close()
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may be gone already
	select {
	case <-p.done:
	case <-time.After(stopTime):
	}
	_ = syscall.Kill(-p.pid(), syscall.SIGKILL) // whatever is left of what it forked
	<-p.done
	if p.reader != nil {
		p.reader.Close()
	}
}

// await returns once ok holds; what is its fault when that does not come, or the
// process ends before. Nobody tells of what is waited for, so it is asked again
// and again.
func (p *process) await(ctx context.Context, what string, ok func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	for ctx.Err() == nil && !p.ended() {
		if ok() {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return p.fault(what)
}

// fault tells what went wrong with the process, with the end of its log.
func (p *process) fault(what string) error {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return fmt.Errorf("%s %s: %w", p.name, what, err)
	}
	const tail = 600
	if len(text) > tail {
		text = text[len(text)-tail:]
	}
	return errors.New(strings.TrimSpace(p.name + " " + what + ": " + string(text)))
}
