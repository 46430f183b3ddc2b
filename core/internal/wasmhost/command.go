// SPDX-License-Identifier: Apache-2.0

package wasmhost

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/postroad-mail/postroad/core/internal/grant"
	"github.com/postroad-mail/postroad/core/internal/pipeline"
	"github.com/postroad-mail/postroad/core/mail"
)

// A command is a plugin in any language that makes WASI programs: it exports
// _start and no pr_on. Each hook starts it anew, so nothing of one message is
// there in the next. It has the arguments [plugin, phase], the granted secrets in
// its environment by their names, reads on standard input, answers on standard
// output, and what it writes to standard error is logged. Its exit code says the
// rest:
//
//	0        what it wrote is the answer
//	75       tempfail (EX_TEMPFAIL of sysexits.h)
//	77       reject (EX_NOPERM)
//	others   the stage failed: on_error decides
//
// It reads one line of JSON, the object of snapshot.go, and behind it the octets
// of the message (RFC 5322) in the phases headers, message, queued and
// predeliver: with the grant read headers the header section, with read body the
// body behind an empty line. In phase headers there is no body yet. They are
// streamed from where the message is kept.
//
// It writes nothing, which is the verdict continue, or one line of JSON of at
// most 1 MiB, an answer as in answer.go. With "body": "replace" in it, all that
// follows is the message as it shall be: header section, empty line, body.
//
// With mode "filter" there is no JSON at all: it reads a message and writes one.
// That it writes nothing and exits with 0 is a failure, not an empty message.

// Kinds of modules, in Manifest.Kind.
const (
	KindReactor = "reactor" // exports pr_on; instances live on
	KindCommand = "command" // exports _start; started for each hook
)

// Modes of a command, in StageOptions.Mode.
const (
	ModeJSON   = ""       // a line of JSON in front of the message
	ModeFilter = "filter" // the message alone
)

// Exit codes with a meaning of their own (sysexits.h).
const (
	exitTempfail = 75
	exitReject   = 77
)

// Bounds of what a command writes.
const (
	maxLine    = 1 << 20 // octets of its line of JSON
	maxNewHead = 1 << 20 // octets of the header section of a new message
)

// errOutput ends a command that wrote what cannot be taken; the reason is kept
// in its program.
var errOutput = errors.New("what it wrote was not taken")

// program is what an instance of a command has for its one hook.
type program struct {
	args   []string
	env    []string // NAME=value
	line   []byte   // what is left of the line of JSON on its input
	in     input
	out    stdout
	failed error // why its output was not taken
	code   int   // that it exited with
}

// stdout takes what a command writes to its standard output.
type stdout interface {
	write(p []byte) error
	end() (mail.Verdict, error) // the verdict, when it has exited with 0
}

// read gives the command what comes next on its input, 0 octets at the end.
func (p *program) read(b []byte) (int, error) {
	if len(p.line) > 0 {
		n := copy(b, p.line)
		p.line = p.line[n:]
		return n, nil
	}
	return p.in.read(b)
}

// program makes the input and output of a command for the hook at hand.
func (i *instance) newProgram() *program {
	p := &program{args: []string{i.stage.plugin, i.hook.Phase().String()}, env: i.stage.environment(), in: i.readable()}
	if i.stage.mode == ModeFilter {
		p.out = &filterOutput{m: replacement{i: i}}
		return p
	}
	p.line = append(i.commandJSON(), '\n')
	p.out = &jsonOutput{i: i}
	return p
}

// environment returns the secrets that are granted, in the order of their names.
func (s *Stage) environment() []string {
	var env []string
	for _, name := range sorted(s.secrets) {
		if grant.Allows(s.grant.Secrets, name) {
			env = append(env, name+"="+s.secrets[name])
		}
	}
	return env
}

// runCommand runs the program of a command for one hook. An error is a *Fault.
func (i *instance) runCommand(h *pipeline.Hook) (mail.Verdict, error) {
	i.program = i.newProgram()
	fuel := i.stage.limits.fuel(h.Phase(), octets(h))
	err := error(nil)
	for _, name := range []string{startName, "_start"} {
		if f := i.mod.ExportedFunction(name); f != nil && err == nil && !i.exited {
			err = i.call(f, name, fuel, i.stack[:0])
		}
	}
	if err != nil && !i.exited {
		return mail.Continue, i.outputFault(err)
	}
	v, err := i.commandVerdict()
	if err != nil {
		return mail.Continue, err
	}
	return i.verdict(h, int32(v))
}

// outputFault says why a command's output ended it, when it did.
func (i *instance) outputFault(err error) error {
	if i.program.failed == nil {
		return err
	}
	return i.failure(i.program.failed.Error())
}

// failure is the fault of a command that ran to its end.
func (i *instance) failure(what string) *Fault {
	return &Fault{Stage: i.stage.name, Cause: CauseError, Detail: detail(what, i.out.tail())}
}

// commandVerdict is what a command that has ended says.
func (i *instance) commandVerdict() (mail.Verdict, error) {
	switch code := i.program.code; code {
	case 0:
		v, err := i.program.out.end()
		if err != nil {
			return mail.Continue, i.failure(err.Error())
		}
		return v, nil
	case exitTempfail:
		return mail.Tempfail, nil
	case exitReject:
		return mail.Reject, nil
	default:
		return mail.Continue, &Fault{Stage: i.stage.name, Cause: CauseExit, Detail: detail(fmt.Sprintf("it exited with %d", code), i.out.tail())}
	}
}

// subscribeCommand takes the phases of a command: those of its manifest, narrowed
// to those that the operator allows, or the operator's, or phase message.
func (s *Stage) subscribeCommand(allowed mail.PhaseSet) error {
	declared, err := s.code.manifest.phaseSet()
	if err != nil {
		return err
	}
	switch {
	case declared != 0 && allowed != 0:
		s.phases = declared & allowed
	case declared|allowed != 0:
		s.phases = declared | allowed
	default:
		s.phases = mail.Phases(mail.PhaseMessage)
	}
	s.wanted = cmp.Or(declared, s.phases)
	if extra := s.phases & lasting; extra != 0 {
		return fmt.Errorf("it is to be called in %s, which are for an instance that lasts as long as the message, and it is a command; "+
			"leave them out of its phases, or build a reactor", phaseNames(extra))
	}
	if extra := s.phases &^ filterPhases; s.mode == ModeFilter && extra != 0 {
		return fmt.Errorf("it is to be called in %s, and mode %q is for a whole message; set phases = [\"message\"] in its plugin block",
			phaseNames(extra), ModeFilter)
	}
	return nil
}

// filterPhases are those that have a whole message which may be replaced.
var filterPhases = mail.Phases(mail.PhaseMessage, mail.PhasePredeliver)

// checkKind refuses options that do not fit the kind of module, and sets what
// follows from it.
func (s *Stage) checkKind(isolation string) error {
	switch {
	case s.mode != ModeJSON && s.mode != ModeFilter:
		return fmt.Errorf("mode %q is unknown; the one to give is %q", s.mode, ModeFilter)
	case s.code.manifest.Kind != KindCommand && s.mode != ModeJSON:
		return fmt.Errorf("mode %q is for commands, and it is a reactor (it exports pr_on); leave mode out", s.mode)
	case s.code.manifest.Kind != KindCommand:
		return nil
	case isolation != "" && isolation != IsolationCall && isolation != IsolationFresh:
		return fmt.Errorf("isolation %q is not for a command, which is started for each call; leave isolation out", isolation)
	}
	s.limits.Isolation = IsolationFresh
	return s.checkFilter()
}

// checkFilter refuses a filter that cannot read and write the message.
func (s *Stage) checkFilter() error {
	const need = readHeaders | readBody | writeHeaders | writeBody
	if s.mode == ModeFilter && s.powers&need != need {
		return fmt.Errorf("mode %q hands it the whole message and takes a new one; grant read = [\"headers\", \"body\"] and write = [\"headers\", \"body\"]", ModeFilter)
	}
	return nil
}
