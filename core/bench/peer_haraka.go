// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
)

//go:embed haraka.js
var harakaPlugins []byte

// haraka starts a Haraka that npm installed below dir, as a relay to the next
// hop: with its own queue it answers 250 when the message is in a file there,
// without it (its plugin queue/smtp_forward) when the next hop has the message.
type haraka struct {
	dir   string
	queue bool
}

func (h haraka) program() string { return filepath.Join(h.dir, "node_modules", ".bin", "haraka") }

func (h haraka) missing() error {
	switch {
	case h.dir == "":
		return errors.New("no -haraka, the folder in which `npm install Haraka` was run")
	case !executable(h.program()):
		return fmt.Errorf("there is no %s", h.program())
	}
	return nil
}

// version is what Haraka's package says of itself, empty when it is not there.
func (h haraka) version() string {
	var p struct{ Version string }
	raw, err := os.ReadFile(filepath.Join(h.dir, "node_modules", "Haraka", "package.json"))
	if err != nil || json.Unmarshal(raw, &p) != nil {
		return ""
	}
	return p.Version
}

func (h haraka) starter(plugins ...string) func(context.Context, place) (*server, error) {
	return func(ctx context.Context, at place) (*server, error) { return h.start(ctx, at, plugins) }
}

func (h haraka) start(ctx context.Context, at place, plugins []string) (*server, error) {
	addr, err := freeAddress()
	if err != nil {
		return nil, err
	}
	if err := h.configure(at, addr, plugins); err != nil {
		return nil, err
	}
	run, err := startServer("haraka", filepath.Join(at.dir, "log"), nil, h.program(), "-c", at.dir)
	if err != nil {
		return nil, err
	}
	s := &server{addr: addr, processes: []*process{run}, queued: func(context.Context) (int, error) { return harakaQueue(at.dir) }}
	if err := waitGreeting(ctx, run, addr); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// configure writes the folders of settings and plugins.
func (h haraka) configure(at place, addr string, plugins []string) error {
	host, port, err := net.SplitHostPort(at.nextHop)
	if err != nil {
		return err
	}
	files := map[string]string{
		"config/smtp.ini":         "listen=" + addr + "\nnodes=0\n",
		"config/me":               "haraka.example\n",
		"config/connection.ini":   "[max]\nbytes=104857600\nline_length=512\ndata_line_length=992\n[headers]\nmax_lines=1000\nmax_received=100\n[message]\nhelo=hello\nclose=bye\n[uuid]\nbanner_chars=6\n",
		"plugins/accept.js":       string(harakaPlugins),
		"plugins/filter.js":       string(harakaPlugins),
		"plugins/relay.js":        string(harakaPlugins),
		"config/next_hop":         at.nextHop + "\n",
		"config/smtp_forward.ini": "host=" + host + "\nport=" + port + "\nenable_tls=false\n",
		"config/log.ini":          "[main]\nlevel=info\ntimestamps=false\nformat=default\n", // as it comes
		"queue/.keep":             "",
	}
	first, last := "accept", "queue/smtp_forward"
	if h.queue {
		first, last = "relay", "" // what no plugin takes goes to its own queue
	} else {
		files["config/log.ini"] = "[main]\nlevel=error\n"
	}
	files["config/plugins"] = first + "\n" + strings.Join(append(plugins, last), "\n") + "\n"
	for name, text := range files {
		file := filepath.Join(at.dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o644)); err != nil {
			return err
		}
	}
	return nil
}

// harakaQueue counts the files of the queue; those that are being written have a
// name that begins with a dot.
func harakaQueue(dir string) (n int, err error) {
	entries, err := os.ReadDir(filepath.Join(dir, "queue"))
	for _, e := range entries {
		if e.Type().IsRegular() && !strings.HasPrefix(e.Name(), ".") {
			n++
		}
	}
	return n, err
}
