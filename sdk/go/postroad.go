// SPDX-License-Identifier: Apache-2.0

// Package postroad is the SDK for Postroad plugins in Go. What the host
// promises is written in sdk/abi/spec.md; this package gives it types.
//
// A plugin is package main, built for wasip1 as a reactor:
//
//	GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -ldflags="-s -w" -o hello.wasm .
//
// It registers itself while the module is initialised, for main is never run:
//
//	func init() {
//		postroad.Register(postroad.OnMessage(func(h *postroad.Hook) (postroad.Verdict, error) {
//			_, err := h.AddHeader(postroad.Top, "X-Hello", "world")
//			return postroad.Continue, err
//		}))
//	}
//
// The host runs several instances of a plugin and hands each hook to whichever
// is free: variables are a cache, never state. State belongs into meta, a Store
// or a Bucket. Goroutines must end before the hook does.
//
// Logic that takes a *Hook can be tested natively, with the host of package
// sdk/go/fake.
package postroad

import (
	"errors"

	"github.com/postroad-mail/postroad/sdk/abi"
)

// Phase is a moment at which a plugin is called.
type Phase int32

// The phases, in the order of a message's way; sdk/abi/spec.md says what is known
// in each.
const (
	Connect    Phase = abi.PhaseConnect    // before the banner
	TLS        Phase = abi.PhaseTLS        // after STARTTLS or implicit TLS
	Helo       Phase = abi.PhaseHelo       // after EHLO or HELO
	Auth       Phase = abi.PhaseAuth       // after a successful AUTH
	Mail       Phase = abi.PhaseMail       // after MAIL FROM
	Rcpt       Phase = abi.PhaseRcpt       // after each RCPT TO; Hook.Arg is the recipient's index
	Data       Phase = abi.PhaseData       // after DATA, before 354
	Headers    Phase = abi.PhaseHeaders    // the header section is complete
	Body       Phase = abi.PhaseBody       // a chunk of the body arrived; Hook.Arg is its length
	Message    Phase = abi.PhaseMessage    // at the end of data; the whole message is readable
	Queued     Phase = abi.PhaseQueued     // after the durable enqueue
	Route      Phase = abi.PhaseRoute      // before a next hop is chosen; Hook.Arg is the recipient's index
	Predeliver Phase = abi.PhasePredeliver // before a delivery attempt; Hook.Arg is its number
	Result     Phase = abi.PhaseResult     // after a delivery attempt; Hook.Arg is its number
	Bounce     Phase = abi.PhaseBounce     // before a report is built; Hook.Arg is the recipient's index
	Tick       Phase = abi.PhaseTick       // at an interval, without a message
	Reset      Phase = abi.PhaseReset      // the transaction is over; the verdict is ignored
)

// Phases is a set of phases. Ask only for those that have something to do: the
// others then cost nothing.
type Phases int64

// In returns the set of the given phases.
func In(ps ...Phase) Phases {
	var s Phases
	for _, p := range ps {
		s |= 1 << p
	}
	return s
}

// Verdict is what a hook says of the message or recipient.
type Verdict int32

// The verdicts; sdk/abi/reference.md says which a phase allows.
const (
	Continue   Verdict = abi.VerdictContinue   // no opinion: the next stage is called
	Accept     Verdict = abi.VerdictAccept     // skip the remaining stages of this phase
	Reject     Verdict = abi.VerdictReject     // refuse for good (5xx)
	Tempfail   Verdict = abi.VerdictTempfail   // refuse for now (4xx)
	Discard    Verdict = abi.VerdictDiscard    // answer 250 and drop
	Quarantine Verdict = abi.VerdictQuarantine // accept, keep aside until released or expired
	Defer      Verdict = abi.VerdictDefer      // accept, hold in the queue until released
	Skip       Verdict = abi.VerdictSkip       // no more calls in this phase of the transaction
)

// Plugin is what a module registers.
type Plugin interface {
	// Init is called once per instance with the stage's config block as JSON,
	// whose defaults the host filled in, and returns the phases it needs. An
	// error is one sentence for the operator; the stage does not load then.
	Init(env *Env, config []byte) (Phases, error)

	// On is called for each hook. With an error the hook's edits are void and
	// the stage's on_error decides; an abi.Errno is passed on as it is.
	On(h *Hook) (Verdict, error)
}

// OnMessage returns a plugin without configuration that is called in phase
// message alone.
func OnMessage(f func(h *Hook) (Verdict, error)) Plugin { return onMessage(f) }

type onMessage func(h *Hook) (Verdict, error)

func (onMessage) Init(*Env, []byte) (Phases, error) { return In(Message), nil }

func (f onMessage) On(h *Hook) (Verdict, error) { return f(h) }

// Env is the host as a plugin knows it outside any hook.
type Env struct{ host Host }

// NewEnv returns an Env on a host; guests get theirs from the SDK, tests make
// one with a fake host.
func NewEnv(host Host) *Env { return &Env{host} }

// Start runs p.Init on a host as pr_init does and returns what pr_init returns:
// the mask of phases, or an error number.
func Start(host Host, p Plugin) int64 {
	env := NewEnv(host)
	config, err := read(nil, host.Config)
	if err != nil {
		return errno(env, err)
	}
	phases, err := p.Init(env, config)
	if err != nil {
		if n := errno(env, err); n != int64(abi.ErrIO) {
			return n
		}
		return int64(abi.ErrBadArgument) // the config block, as a rule
	}
	return int64(phases)
}

// Call runs p.On on a host as pr_on does and returns what pr_on returns: a
// verdict, or an error number. A panic is a plugin error.
func Call(host Host, p Plugin, phase Phase, arg int) (result int32) {
	h := NewHook(host, phase, arg)
	defer func() {
		if r := recover(); r != nil {
			h.Log(Error, "panic: "+words(r))
			result = int32(abi.ErrIO)
		}
	}()
	v, err := p.On(h)
	if err != nil {
		return int32(errno(&h.Env, err))
	}
	return int32(v)
}

// errno logs err and returns the number that tells the host of it.
func errno(env *Env, err error) int64 {
	env.Log(Error, err.Error())
	var e abi.Errno
	if errors.As(err, &e) && e < 0 {
		return int64(e)
	}
	return int64(abi.ErrIO)
}

func words(v any) string {
	switch v := v.(type) {
	case error:
		return v.Error()
	case string:
		return v
	}
	return "of a value that is neither error nor string"
}
