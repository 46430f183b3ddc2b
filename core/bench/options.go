// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// options are the command line.
type options struct {
	messages int      // counted messages of a run; 0 = each case's own number
	size     int      // octets of a message; 0 = each case's own
	runs     int      // rounds, each with every case and peer
	cases    []string // names; empty = all
	peers    []string // names; empty = all that are installed
	out      string   // folder of the report; empty = standard output alone
	dir      string   // where queues and logs live while it runs
	binary   string   // a postroad that is already built; empty = build it
	exim     string   // Exim's binary; empty = where it is installed
	haraka   string   // folder with an installed Haraka; empty = none
	tools    string   // "own" or "postfix": load generator and sink
	self     string   // this binary, for the helper processes
}

func parse(args []string, errs io.Writer) (options, error) {
	self, err := os.Executable()
	if err != nil {
		return options{}, err
	}
	o := options{self: self}
	var cases, peers string
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(errs)
	f.IntVar(&o.messages, "n", 0, "counted messages of each run (0: the case's own number)")
	f.IntVar(&o.size, "size", 0, "octets of a message (0: the case's own size)")
	f.IntVar(&o.runs, "runs", 3, "rounds; each measures every case of every peer once")
	f.StringVar(&cases, "cases", "", "cases, separated by commas: "+strings.Join(caseNames(), ", ")+" (all of them)")
	f.StringVar(&peers, "peers", "", "peers, separated by commas: "+strings.Join(peerNames(), ", ")+" (all that are installed)")
	f.StringVar(&o.out, "out", "", "folder into which peers-YYYY-MM-DD.md is written")
	f.StringVar(&o.dir, "dir", os.TempDir(), "folder for queues and logs while it runs; its file system is what is measured")
	f.StringVar(&o.binary, "postroad", "", "a postroad binary that is already built (built from this module)")
	f.StringVar(&o.exim, "exim", "", "Exim's binary (exim4 or exim where programs are installed)")
	f.StringVar(&o.haraka, "haraka", "", "folder in which `npm install Haraka` was run; without it Haraka is left out")
	f.StringVar(&o.tools, "tools", "own", "load generator and next hop: own, or postfix for smtp-source and smtp-sink")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("%q is not a flag; see -help", f.Arg(0))
	}
	o.cases, o.peers = list(cases), list(peers)
	return o, o.check()
}

// check reports all faults at once.
func (o options) check() error {
	var all []error
	if o.runs < 1 || o.messages < 0 || o.size < 0 {
		all = append(all, errors.New("-runs has to be at least 1, -n and -size must not be negative"))
	}
	if o.size > 0 && o.size < minimumSize {
		all = append(all, fmt.Errorf("-size has to be at least %d: a message has a header", minimumSize))
	}
	if o.tools != "own" && o.tools != "postfix" {
		all = append(all, fmt.Errorf("-tools is own or postfix, not %q", o.tools))
	}
	all = append(all, known("-cases", o.cases, caseNames())...)
	return errors.Join(append(all, known("-peers", o.peers, peerNames())...)...)
}

func known(flag string, given, names []string) []error {
	var all []error
	for _, g := range given {
		if !slices.Contains(names, g) {
			all = append(all, fmt.Errorf("%s does not know %q; there are: %s", flag, g, strings.Join(names, ", ")))
		}
	}
	return all
}

// list splits at commas and leaves out what is empty.
func list(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' })
}
