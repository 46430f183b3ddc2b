// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/postroad-mail/postroad/core/internal/control"
	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/core/relay"
)

type queueCmd struct {
	List        queueListCmd        `cmd:"" help:"List messages."`
	Show        queueShowCmd        `cmd:"" help:"Show one message: its recipients, and its header."`
	Explain     queueExplainCmd     `cmd:"" help:"Say of each recipient of a message why it is still here, and until when."`
	Retry       queueRetryCmd       `cmd:"" help:"Try messages now."`
	Hold        queueHoldCmd        `cmd:"" help:"Keep messages back until they are released, or for a while."`
	Release     queueReleaseCmd     `cmd:"" help:"Deliver messages that are held or quarantined."`
	Bounce      queueBounceCmd      `cmd:"" help:"Fail recipients now, and tell the senders."`
	Drop        queueDropCmd        `cmd:"" help:"Delete messages, without a bounce."`
	Reroute     queueRerouteCmd     `cmd:"" help:"Send recipients by another route."`
	Suspend     queueSuspendCmd     `cmd:"" help:"Keep mail back for a while, what is queued and what comes, by tenant, campaign, domain or route."`
	Resume      queueResumeCmd      `cmd:"" help:"End suspensions."`
	Suspensions queueSuspensionsCmd `cmd:"" help:"List suspensions."`
	Export      queueExportCmd      `cmd:"" help:"Write messages with envelope and content to a file, for another machine."`
	Import      queueImportCmd      `cmd:"" help:"Queue the messages of an export."`
	Fsck        queueFsckCmd        `cmd:"" help:"Check the data directory of a relay that does not run, and repair it."`
	Restore     queueRestoreCmd     `cmd:"" help:"Put a backup into the data directory of a relay that does not run and has no queue."`
	Backup      queueBackupCmd      `cmd:"" help:"Copy queue and stores to a new folder, while the relay runs or not."`
}

// dial returns a client of the relay that runs on the configuration's data
// directory.
func dial(c *cli) (*control.Client, error) {
	dir, err := relay.DataDir(relay.Options{ConfigFile: c.Config})
	if err != nil {
		return nil, err
	}
	return control.Dial(control.SocketPath(dir)), nil
}

// reader is what can be looked at in a queue.
type reader interface {
	List(ctx context.Context, f control.Filter) ([]mail.QueueEntry, error)
	Show(ctx context.Context, id string) (mail.QueueEntry, error)
	Suspensions(ctx context.Context) ([]mail.Suspension, error)
	Export(ctx context.Context, a control.ExportAction, w io.Writer) error
}

// stopped is the queue of a relay that does not run.
type stopped struct{ *relay.StoppedQueue }

// List implements reader.
func (q stopped) List(ctx context.Context, f control.Filter) ([]mail.QueueEntry, error) {
	return q.StoppedQueue.List(ctx, relay.QueueFilter(f))
}

// Export implements reader.
func (q stopped) Export(ctx context.Context, a control.ExportAction, w io.Writer) error {
	if a.Remove || a.Select == nil {
		return &codedError{exitUsage, errors.New("queue export: no relay is running, so messages are exported by a selector or --all, and stay; start it for ids and --remove")}
	}
	return q.StoppedQueue.Export(ctx, *a.Select, w)
}

// look hands the queue of the running relay to f, or when none runs the one on
// disk.
func look(c *cli, s streams, f func(reader) error) error {
	client, err := dial(c)
	if err != nil {
		return err
	}
	if err = f(client); !errors.Is(err, control.ErrNotRunning) {
		return err
	}
	q, openErr := relay.OpenQueue(relay.Options{ConfigFile: c.Config})
	if openErr != nil {
		return errors.Join(err, openErr)
	}
	defer q.Close()
	fmt.Fprintln(s.err, "No relay is running; this is the queue on disk.")
	return f(stopped{q})
}

type queueListCmd struct {
	selector `embed:""`
	After    string `placeholder:"ID" help:"Only messages behind this one: the last of the page before."`
	Limit    int    `default:"1000" help:"Show at most this many."`
}

// Run lists messages.
func (k queueListCmd) Run(c *cli, s streams) error {
	if k.Limit < 1 {
		return &codedError{exitUsage, errors.New("queue list: --limit must be 1 or more")}
	}
	return look(c, s, func(q reader) error {
		ms, err := q.List(context.Background(), control.Filter{QueueSelector: k.selected(), After: k.After, Limit: k.Limit})
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(s.out, ms)
		}
		return k.print(s, ms)
	})
}

func (k queueListCmd) print(s streams, ms []mail.QueueEntry) error {
	if len(ms) == 0 && (k.any() || k.After != "") {
		_, err := fmt.Fprintln(s.out, "No message matches.")
		return err
	}
	if err := printList(s.out, ms); err != nil || len(ms) < k.Limit {
		return err
	}
	_, err := fmt.Fprintf(s.err, "There may be more than these %d; --limit shows more, --after %s goes on.\n", len(ms), ms[len(ms)-1].ID)
	return err
}

func printList(out io.Writer, ms []mail.QueueEntry) error {
	if len(ms) == 0 {
		_, err := fmt.Fprintln(out, "The queue is empty.")
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tSTATE\tAGE\tSIZE\tSENDER\tRECIPIENTS\tWHY")
	for _, m := range ms {
		to, why := outline(m)
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%s\t%s\n", m.ID, m.State, age(m.Received), m.Size, m.Sender.Path(), to, oneLine(why))
	}
	return w.Flush()
}

// outline names the first recipient that is still waiting, and why.
func outline(m mail.QueueEntry) (to, why string) {
	waiting := 0
	for _, r := range m.Recipients {
		if r.Status != "queued" {
			continue
		}
		if waiting++; waiting == 1 {
			to, why = string(r.Address), r.Why
		}
	}
	if waiting > 1 {
		to += fmt.Sprintf(" and %d more", waiting-1)
	}
	return to, why
}

func age(t time.Time) string { return time.Since(t).Round(time.Second).String() }

type queueShowCmd struct {
	ID string `arg:"" help:"Id of the message."`
}

// Run shows one message.
func (k queueShowCmd) Run(c *cli, s streams) error {
	return look(c, s, func(q reader) error {
		m, err := q.Show(context.Background(), k.ID)
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(s.out, m)
		}
		printMessage(s.out, m)
		return nil
	})
}

func printMessage(w io.Writer, m mail.QueueEntry) {
	fmt.Fprintf(w, "%s  %s, %d octets, received %s (%s ago)\nsender %s\n", m.ID, m.State, m.Size, m.Received.Format(time.RFC3339), age(m.Received), m.Sender.Path())
	printLabels(w, m)
	if m.Reason != "" {
		fmt.Fprintf(w, "held: %s\n", harmless(m.Reason))
	}
	for _, s := range m.Stages {
		fmt.Fprintf(w, "stage %s: %s\n", s.Stage, s.Code)
	}
	for _, s := range m.Scores {
		fmt.Fprintf(w, "score %s by stage %s: %s\n", harmless(s.Symbol), s.Stage, points(s.Milli))
	}
	for _, r := range m.Recipients {
		fmt.Fprintf(w, "recipient %s: %s, route %s, %s\n", r.Address.Path(), r.Status, routeOf(r), counted(int64(r.Attempts), "attempt"))
		if r.Asked != "" {
			fmt.Fprintf(w, "  asked for: %s\n", harmless(r.Asked))
		}
		if r.Last != "" {
			fmt.Fprintf(w, "  last attempt: %s\n", harmless(r.Last))
		}
		if r.Why != "" {
			fmt.Fprintf(w, "  now: %s\n", harmless(r.Why))
		}
		printWarning(w, &r)
	}
	if m.Header != "" {
		fmt.Fprintf(w, "\n%s\n", harmless(strings.TrimRight(strings.ReplaceAll(m.Header, "\r\n", "\n"), "\n")))
	}
}

func printLabels(w io.Writer, m mail.QueueEntry) {
	if m.Tenant != "" {
		fmt.Fprintf(w, "tenant %s\n", m.Tenant)
	}
	if m.Campaign != "" {
		fmt.Fprintf(w, "campaign %s\n", m.Campaign)
	}
	if m.Priority != 0 {
		fmt.Fprintf(w, "priority %d\n", m.Priority)
	}
	if m.Asked != "" {
		fmt.Fprintf(w, "asked for: %s\n", harmless(m.Asked))
	}
}

type queueExplainCmd struct {
	ID string `arg:"" help:"Id of the message."`
}

// Run says why a message is still here.
func (k queueExplainCmd) Run(c *cli, s streams) error {
	return look(c, s, func(q reader) error {
		m, err := q.Show(context.Background(), k.ID)
		if err != nil {
			return err
		}
		m.Header = ""
		if c.JSON {
			return printJSON(s.out, m)
		}
		explain(s.out, m)
		return nil
	})
}

// explain prints the decision about each recipient.
func explain(w io.Writer, m mail.QueueEntry) {
	fmt.Fprintf(w, "%s  %s, received %s (%s ago), sender %s\n", m.ID, m.State, m.Received.Format(time.RFC3339), age(m.Received), m.Sender.Path())
	printLabels(w, m)
	for _, r := range m.Recipients {
		if r.Now == "" {
			fmt.Fprintf(w, "%s: %s, attempts: %d; %s\n", r.Address.Path(), r.Status, r.Attempts, harmless(r.Last))
			continue
		}
		fmt.Fprintf(w, "%s: %s\n  why: %s\n", r.Address.Path(), r.Now, harmless(r.Why))
		fmt.Fprintf(w, "  route %s, attempts so far: %d", routeOf(r), r.Attempts)
		if r.Last != "" {
			fmt.Fprintf(w, ", last reply: %s", harmless(r.Last))
		}
		fmt.Fprintln(w)
		if !r.Expires.IsZero() {
			fmt.Fprintf(w, "  given up at %s%s\n", r.Expires.UTC().Format(time.RFC3339), afterATry(r.Attempts))
		}
		printWarning(w, &r)
	}
}

// printWarning says that the sender knows of the delay.
func printWarning(w io.Writer, r *mail.QueueRecipient) {
	switch {
	case !r.Warned:
	case r.WarnedAt.IsZero():
		fmt.Fprintln(w, "  the sender was told of the delay")
	default:
		fmt.Fprintf(w, "  the sender was told of the delay at %s\n", r.WarnedAt.UTC().Format(time.RFC3339))
	}
}

// routeOf names a recipient's route, with the class whose times it has there.
func routeOf(r mail.QueueRecipient) string {
	if r.Class == "" {
		return r.Route
	}
	return r.Route + " (class " + r.Class + ")"
}

func afterATry(attempts int) string {
	if attempts > 0 {
		return ""
	}
	return ", not before one attempt was made"
}

// points writes thousandths as a number.
func points(milli int32) string { return strconv.FormatFloat(float64(milli)/1000, 'f', -1, 64) }

// harmless replaces control characters of a stranger's text, which could take
// over the terminal; lines and tabs stay.
func harmless(s string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && unicode.IsControl(r) {
			return '\uFFFD'
		}
		return r
	}, s)
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
