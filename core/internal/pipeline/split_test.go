// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/sdk/abi"
)

// full says what each message of a result is, one a line.
func full(r Result) string {
	if r.Reply != nil {
		return "refused " + r.Reply.Line()
	}
	var b strings.Builder
	for _, m := range r.Messages {
		body, _ := io.ReadAll(io.NewSectionReader(m.Body, 0, m.Body.Size()))
		tag, _ := m.Header.Get("X-Tag")
		fmt.Fprintf(&b, "%s <%s> tag %q body %q score %d", outline(Result{Messages: []*Message{m}}), m.Envelope.Sender, tag, body, m.Envelope.Score())
		b.WriteString("\n")
	}
	return b.String() + outline(Result{Refused: r.Refused, Discarded: r.Discarded})
}

// steps runs edits of a hook and fails at the first that is refused.
func steps(fs ...func() error) error {
	for i, f := range fs {
		if err := f(); err != nil {
			return fmt.Errorf("step %d: %w", i, err)
		}
	}
	return nil
}

func TestSplit(t *testing.T) {
	tag := func(h *Hook, v string) func() error {
		return func() error { _, err := h.AddHeader(-1, "X-Tag", v); return err }
	}
	split := func(h *Hook, want int, rcpts ...int) func() error {
		return func() error {
			n, err := h.Split(rcpts)
			if err == nil && n != want {
				err = fmt.Errorf("handle %d, want %d", n, want)
			}
			return err
		}
	}
	use := func(h *Hook, n int) func() error { return func() error { return h.Use(n) } }
	for _, c := range []struct {
		name string
		run  func(h *Hook) (mail.Verdict, error)
		want string
	}{
		{"a child alone", func(h *Hook) (mail.Verdict, error) {
			return mail.Continue, steps(split(h, 1, 1))
		}, `queue a@x.test,c@x.test <s@a.test> tag "" body "body\r\n" score 0
queue b@x.test <s@a.test> tag "" body "body\r\n" score 0
`},
		{"edits are those of the envelope in use", func(h *Hook) (mail.Verdict, error) {
			return mail.Continue, steps(
				split(h, 1, 0), split(h, 2, 1), use(h, 1), tag(h, "one"),
				func() error { return h.SetSender("one@a.test") }, func() error { return h.WriteBody([]byte("one"), true) },
				use(h, 2), tag(h, "two"), func() error { return h.AddScore("TWO", 2) }, use(h, 0), tag(h, "parent"),
			)
		}, `queue c@x.test <s@a.test> tag "parent" body "body\r\n" score 0
queue a@x.test <one@a.test> tag "one" body "one\r\n" score 0
queue b@x.test <s@a.test> tag "two" body "body\r\n" score 2
`},
		{"a child begins with what is edited by then", func(h *Hook) (mail.Verdict, error) {
			return mail.Continue, steps(tag(h, "both"), func() error { return h.AddScore("X", 1) }, split(h, 1, 2), func() error { return h.AddScore("Y", 5) })
		}, `queue a@x.test,b@x.test <s@a.test> tag "both" body "body\r\n" score 6
queue c@x.test <s@a.test> tag "both" body "body\r\n" score 1
`},
		{"a child of a child", func(h *Hook) (mail.Verdict, error) {
			return mail.Continue, steps(split(h, 1, 1, 2), use(h, 1), tag(h, "one"), split(h, 2, 2), use(h, 2), func() error { return h.SetSender("two@a.test") })
		}, `queue a@x.test <s@a.test> tag "" body "body\r\n" score 0
queue b@x.test <s@a.test> tag "one" body "body\r\n" score 0
queue c@x.test <two@a.test> tag "one" body "body\r\n" score 0
`},
		{"verdicts go by recipient, whatever is in use", func(h *Hook) (mail.Verdict, error) {
			return mail.Continue, steps(split(h, 1, 1), func() error { return h.SetRecipientVerdict(1, mail.Quarantine, nil) },
				use(h, 1), func() error { return h.SetRecipientVerdict(0, mail.Discard, nil) })
		}, `queue c@x.test <s@a.test> tag "" body "body\r\n" score 0
queue b@x.test hold quarantine <s@a.test> tag "" body "body\r\n" score 0
discard 1`},
		{"the hook's verdict is for all", func(h *Hook) (mail.Verdict, error) {
			return mail.Quarantine, steps(split(h, 1, 1))
		}, `queue a@x.test,c@x.test hold quarantine <s@a.test> tag "" body "body\r\n" score 0
queue b@x.test hold quarantine <s@a.test> tag "" body "body\r\n" score 0
`},
		{"a reject, too", func(h *Hook) (mail.Verdict, error) {
			return mail.Reject, steps(split(h, 1, 1))
		}, "refused 550 5.7.1 refused by policy"},
		{"all recipients may leave", func(h *Hook) (mail.Verdict, error) {
			return mail.Continue, steps(split(h, 1, 0, 1, 2), use(h, 1), tag(h, "all"))
		}, `queue a@x.test,b@x.test,c@x.test <s@a.test> tag "all" body "body\r\n" score 0
`},
		{"one index means one recipient", func(h *Hook) (mail.Verdict, error) {
			add := func(a mail.Address, want int) func() error {
				return func() error {
					if n, err := h.AddRecipient(a); n != want || err != nil {
						return fmt.Errorf("index %d, %w", n, err)
					}
					return nil
				}
			}
			return mail.Continue, steps(split(h, 1, 1), add("p@x.test", 3), use(h, 1), add("q@x.test", 4),
				func() error { return h.SetRecipientVerdict(3, mail.Discard, nil) })
		}, `queue a@x.test,c@x.test <s@a.test> tag "" body "body\r\n" score 0
queue b@x.test,q@x.test <s@a.test> tag "" body "body\r\n" score 0
discard 1`},
		{"a failure leaves one message", func(h *Hook) (mail.Verdict, error) {
			return 0, errors.Join(steps(split(h, 1, 1), use(h, 1), tag(h, "x"), func() error { return h.WriteBody([]byte("x"), true) }), errors.New("trap"))
		}, `queue a@x.test,b@x.test,c@x.test <s@a.test> tag "" body "body\r\n" score 0
`},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &fixture{}
			last := stageFunc(func(h *Hook) (mail.Verdict, error) { return mail.Continue, h.SetMeta(ScopeMessage, "seen", "1") })
			tx := f.begin(f.pipeline(Step{Name: "s", Stage: stageFunc(c.run), OnError: OnErrorSkip}, Step{Name: "last", Stage: last}), "a@x.test", "b@x.test", "c@x.test")
			r := runMessage(tx, MixedDrop)
			if got := full(r); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
			written := int64(0)
			for _, m := range r.Messages {
				if m.Envelope.Meta["last.seen"] != "1" {
					t.Error("the next stage did not run on every envelope")
				}
				if _, ok := m.Body.(releaser); ok {
					written++
				}
			}
			tx.Close()
			if n := f.live.Load(); n != written {
				t.Errorf("%d bodies are left, %d were handed over", n, written)
			}
		})
	}
}

func TestSplitsThatAreRefused(t *testing.T) {
	f := &fixture{}
	s := stageFunc(func(h *Hook) (mail.Verdict, error) {
		for _, c := range []struct {
			rcpts []int
			want  abi.Errno
		}{{nil, abi.ErrBadArgument}, {[]int{-1}, abi.ErrNotFound}, {[]int{3}, abi.ErrNotFound}, {[]int{0, 0}, abi.ErrBadArgument}, {make([]int, 99), abi.ErrBadArgument}} {
			if _, err := h.Split(c.rcpts); !errors.Is(err, c.want) {
				t.Errorf("split %v: %v, want %v", c.rcpts, err, c.want)
			}
		}
		if h.Use(1) != abi.ErrNotFound || h.Use(-1) != abi.ErrNotFound || h.Use(0) != nil {
			t.Error("handles that do not exist can be used")
		}
		return mail.Continue, nil
	})
	tx := f.begin(f.pipeline(Step{Name: "s", Stage: s}), "a@x.test", "b@x.test", "c@x.test")
	if got := outline(runMessage(tx, "")); got != "queue a@x.test,b@x.test,c@x.test" {
		t.Error(got)
	}
}

// However many recipients there are and however many stages split them, a
// message does not become any number of messages.
func TestSplittingIsBounded(t *testing.T) {
	f, limited := &fixture{}, 0
	s := stageFunc(func(h *Hook) (mail.Verdict, error) {
		for i := range h.Envelope().Recipients {
			if !h.Visible(i) || h.Envelope().Live() == 1 {
				continue
			}
			if _, err := h.Split([]int{i}); errors.Is(err, abi.ErrLimit) {
				limited++
				break
			}
		}
		return mail.Continue, nil
	})
	var to []string
	for i := range 400 {
		to = append(to, fmt.Sprintf("r%d@x.test", i))
	}
	var all []Step
	for i := range 20 {
		all = append(all, Step{Name: fmt.Sprint(i), Stage: s})
	}
	r := runMessage(f.begin(f.pipeline(all...), to...), "")
	if n := len(r.Messages); n != maxBranches || limited == 0 {
		t.Errorf("%d messages, %d times limited", n, limited)
	}
	live := 0
	for _, m := range r.Messages {
		live += m.Envelope.Live()
	}
	if live != len(to) {
		t.Errorf("%d of %d recipients are left", live, len(to))
	}
}

// A stage that `when` gives some of the recipients may split those.
func TestSplitOfTheSelected(t *testing.T) {
	f := &fixture{}
	s := stageFunc(func(h *Hook) (mail.Verdict, error) {
		if _, err := h.Split([]int{0}); !errors.Is(err, abi.ErrNotFound) {
			t.Errorf("a recipient that is not the stage's: %v", err)
		}
		_, err := h.Split([]int{2})
		return mail.Continue, err
	})
	tx := f.begin(f.pipeline(Step{Name: "s", Stage: s, When: domainIs("b.test")}), "a@x.test", "b@b.test", "c@b.test")
	if got := outline(runMessage(tx, "")); got != "queue a@x.test; queue c@b.test; queue b@b.test" {
		t.Error(got)
	}
}

// What is held stays held, whoever a later stage sends it to: an alias, a copy
// for the archive.
func TestRecipientThatIsAddedToAHeldMessageIsHeld(t *testing.T) {
	alias := stageFunc(func(h *Hook) (mail.Verdict, error) {
		if !h.Visible(0) {
			return mail.Continue, nil
		}
		_, err := h.AddRecipient("alias@x.test")
		return mail.Continue, errors.Join(err, h.RemoveRecipient(0))
	})
	child := stageFunc(func(h *Hook) (mail.Verdict, error) {
		_, err := h.Split([]int{0})
		if err == nil {
			err = h.Use(1)
		}
		if err == nil {
			_, err = h.AddRecipient("child@x.test")
		}
		return mail.Continue, err
	})
	for _, c := range []struct {
		name   string
		stages []Step
		want   string
	}{
		{"by a verdict", []Step{{Name: "scan", Stage: says(mail.Quarantine)}, {Name: "alias", Stage: alias}},
			"queue b@x.test,alias@x.test hold quarantine"},
		{"by a fault", []Step{{Name: "scan", Stage: traps("trap"), OnError: OnErrorQuarantine}, {Name: "alias", Stage: alias}},
			"queue b@x.test,alias@x.test hold quarantine"},
		{"for some recipients", []Step{{Name: "scan", Stage: says(mail.Quarantine), When: forA{}}, {Name: "alias", Stage: alias}},
			"queue b@x.test; queue alias@x.test hold quarantine"},
		{"in a child", []Step{{Name: "scan", Stage: says(mail.Defer)}, {Name: "child", Stage: child}},
			"queue b@x.test hold defer; queue a@x.test,child@x.test hold defer"},
		{"by the phase rcpt", []Step{{Name: "scan", Stage: rcptFails{}, OnError: OnErrorQuarantine}, {Name: "alias", Stage: alias}},
			"queue b@x.test,alias@x.test hold quarantine"},
		{"not held", []Step{{Name: "alias", Stage: alias}}, "queue b@x.test,alias@x.test"},
		{"held behind it", []Step{{Name: "alias", Stage: alias}, {Name: "scan", Stage: says(mail.Quarantine)}},
			"queue b@x.test,alias@x.test hold quarantine"},
	} {
		var f fixture
		tx := f.begin(f.pipeline(c.stages...))
		for _, a := range []mail.Address{"a@x.test", "b@x.test"} {
			if r := tx.Rcpt(context.Background(), mail.Recipient{Address: a, Original: a}); r != nil {
				t.Fatal(r)
			}
		}
		if got := outline(runMessage(tx, MixedTempfail)); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// rcptFails fails at every RCPT.
type rcptFails struct{}

func (rcptFails) Phases() mail.PhaseSet { return mail.Phases(mail.PhaseRcpt) }
func (rcptFails) Run(context.Context, *Hook) (mail.Verdict, error) {
	return mail.Continue, trapped{"trap"}
}

// forA selects the recipient a@x.test.
type forA struct{}

func (forA) PerRecipient() bool { return true }
func (forA) Eval(fact func(string) (any, bool)) (bool, error) {
	v, _ := fact("recipient.local")
	return v == "a", nil
}
