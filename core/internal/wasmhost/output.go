// SPDX-License-Identifier: Apache-2.0

package wasmhost

import (
	"bytes"
	"strings"

	"github.com/hashicorp/go-hclog"
)

// output takes what a guest says: log calls and lines on standard output and
// error. It bounds both per call, so that a guest cannot flood the log.
type output struct {
	logger hclog.Logger
	id     string // of the message, empty outside a hook
	quiet  bool   // the hook is dry: nothing above debug
	line   []byte // standard output or error up to the line's end
	last   []byte // the first such lines of the call, to explain a fault
	starts bool   // the instance starts: lines that are logged explain too
	lines  int
	octets int
}

// begin starts a call about the message with that id.
func (o *output) begin(id string, dry bool) {
	o.quiet = dry
	o.id, o.lines, o.octets, o.last = id, 0, 0, o.last[:0]
}

// end writes an unfinished line.
func (o *output) end() {
	if len(o.line) > 0 {
		o.flush()
	}
	o.id = ""
}

// say logs one line of the guest's, until the call's share is used up.
func (o *output) say(level hclog.Level, text []byte) {
	if o.lines > maxLogLines || o.octets > maxLogBytes {
		return
	}
	if o.quiet {
		level = min(level, hclog.Debug)
	}
	text = text[:min(len(text), maxLogLine)]
	o.lines++
	o.octets += len(text)
	if o.lines > maxLogLines || o.octets > maxLogBytes {
		o.lines = maxLogLines + 1
		o.logger.Warn("plugin logs too much, the rest of this call is left out", "id", o.id)
		return
	}
	if o.starts {
		o.remember(text)
	}
	if o.logger.GetLevel() <= level {
		o.logger.Log(level, "plugin says", "id", o.id, "text", clean(text))
	}
}

// write takes octets of standard output or error and logs whole lines. Once the
// call's share is used up it looks at nothing more.
func (o *output) write(p []byte) {
	for len(p) > 0 && o.lines <= maxLogLines {
		i := bytes.IndexByte(p, '\n')
		part := p
		if i >= 0 {
			part = p[:i]
		}
		o.line = append(o.line, part[:min(len(part), maxLogLine-len(o.line))]...)
		if i < 0 {
			return
		}
		o.flush()
		p = p[i+1:]
	}
}

func (o *output) flush() {
	o.say(hclog.Info, o.line)
	if !o.starts {
		o.remember(o.line)
	}
	o.line = o.line[:0]
}

// remember keeps a line for the detail of a fault; those of a stack trace are
// left out.
func (o *output) remember(line []byte) {
	if len(bytes.TrimSpace(line)) > 0 && !bytes.HasPrefix(line, []byte("\t")) && len(o.last) < 300 {
		o.last = append(append(o.last, ' '), line...)
	}
}

// tail returns the first lines that the guest wrote to standard output or error
// in this call: those of a panic, as a rule. While it starts, those that it
// logged are among them.
func (o *output) tail() string {
	if len(o.last) == 0 {
		return ""
	}
	return "it wrote:" + clean(o.last)
}

// clean makes text one line of valid UTF-8 without control characters.
func clean(text []byte) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(string(text), "\uFFFD"))
}
