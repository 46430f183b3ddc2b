// SPDX-License-Identifier: Apache-2.0

// Package recipients answers whether there is a recipient: by a list, a file, or the
// host that has the mailbox, so that a stranger's mail for nobody is refused at RCPT
// and never has to be returned.
package recipients

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
)

// Checker knows recipients. It is used by many sessions at once.
type Checker struct {
	known map[string]bool
	file  *followed // nil: none
	ask   *Host     // nil: nobody is asked
}

// Options say who knows.
type Options struct {
	Known []string // local parts, for each domain; or whole addresses
	File  string   // path of more of them, one in each line; empty: none
	Ask   *Host    // asked about whoever is not in the lists; nil: they are all
}

// New reads the file.
func New(o Options) (*Checker, error) {
	c := &Checker{known: set(o.Known), ask: o.Ask}
	if o.File == "" {
		return c, nil
	}
	c.file = &followed{path: o.File}
	return c, c.file.refresh()
}

// Known reports whether there is a recipient. An error says that nobody can tell
// now.
func (c *Checker) Known(ctx context.Context, address string) (bool, error) {
	local, domain := split(address)
	if local == "postmaster" || c.listed(local, domain) { // RFC 5321 §4.5.1
		return true, nil
	}
	if c.ask == nil {
		return false, nil
	}
	return c.ask.Known(ctx, address)
}

func (c *Checker) listed(local, domain string) bool {
	if c.known[local] || c.known[local+"@"+domain] {
		return true
	}
	return c.file != nil && c.file.has(local, domain)
}

// split returns local part and domain as they are compared: without regard to case,
// for no host that we know of tells Ann from ann.
func split(address string) (local, domain string) {
	cut := strings.LastIndexByte(address, '@')
	return strings.ToLower(address[:max(cut, 0)]), strings.ToLower(address[cut+1:])
}

func set(names []string) map[string]bool {
	s := make(map[string]bool, len(names))
	for _, n := range names {
		s[strings.ToLower(n)] = true
	}
	return s
}

// followed is a file that is read again when it has changed.
type followed struct {
	path string

	mu    sync.Mutex
	names map[string]bool
	size  int64
	mtime time.Time
}

// maxFile is how large a file may be: a million recipients or two.
const maxFile = 64 << 20

func (f *followed) has(local, domain string) bool {
	_ = f.refresh() // what was read before stays
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.names[local] || f.names[local+"@"+domain]
}

// refresh reads the file if it has changed.
func (f *followed) refresh() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	info, err := os.Stat(f.path)
	if err != nil {
		return err
	}
	if info.Size() == f.size && info.ModTime().Equal(f.mtime) && f.names != nil {
		return nil
	}
	if info.Size() > maxFile {
		return fmt.Errorf("%s has more than %d octets", f.path, maxFile)
	}
	b, err := os.ReadFile(f.path)
	if err != nil {
		return err
	}
	f.names, f.size, f.mtime = set(Parse(string(b))), info.Size(), info.ModTime()
	return nil
}

// Parse returns the recipients of a file: one in each line; empty lines and those
// that begin with # say nothing.
func Parse(text string) []string {
	var names []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			names = append(names, line)
		}
	}
	return names
}
