// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/postroad-mail/postroad/core/internal/control"
	"github.com/postroad-mail/postroad/core/mail"
)

// selector selects messages by what is known of them.
type selector struct {
	State     string `enum:"ready,deferred,held,quarantined," default:"" help:"In this state: ready, deferred, held or quarantined."`
	Domain    string `help:"With a recipient in this domain."`
	Rcpt      string `placeholder:"ADDRESS" help:"With this recipient."`
	Sender    string `help:"Of this sender; @DOMAIN for all of a domain, <> for bounces."`
	Tenant    string `help:"Of this tenant."`
	Campaign  string `help:"Of this campaign."`
	Route     string `help:"With a recipient on this route."`
	NextHop   string `placeholder:"HOP" help:"With a recipient for this next hop, as explain spells it."`
	Reply     string `placeholder:"TEXT" help:"With a recipient whose last reply has this text in it."`
	OlderThan span   `placeholder:"TIME" help:"Received so long ago, or longer: 90s, 10m, 2h, 3d."`
	NewerThan span   `placeholder:"TIME" help:"Received since then."`
}

func (k selector) selected() mail.QueueSelector {
	return mail.QueueSelector{State: k.State, Domain: k.Domain, Recipient: k.Rcpt, Sender: k.Sender, Tenant: k.Tenant, Campaign: k.Campaign,
		Route: k.Route, Hop: k.NextHop, Reply: k.Reply, OlderThan: time.Duration(k.OlderThan), NewerThan: time.Duration(k.NewerThan)}
}

// any reports whether anything is selected.
func (k selector) any() bool { return k.selected() != mail.QueueSelector{} }

// span is a time span that may be in days.
type span time.Duration

// UnmarshalText reads "90s", "10m", "2h" or "3d".
func (a *span) UnmarshalText(b []byte) error {
	s := string(b)
	d, err := time.ParseDuration(s)
	if days, ok := strings.CutSuffix(s, "d"); ok {
		var n uint64
		n, err = strconv.ParseUint(days, 10, 16)
		d = time.Duration(n) * 24 * time.Hour
	}
	if err != nil || d <= 0 {
		return fmt.Errorf("%q is not a time such as 90s, 10m, 2h or 3d", s)
	}
	*a = span(d)
	return nil
}

// operatorName is who gives the commands, for the log: the user behind sudo, or
// the one of the process.
func operatorName() string {
	if name := os.Getenv("SUDO_USER"); name != "" {
		return name
	}
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return strconv.Itoa(os.Getuid())
}

// choice is which messages an action is for.
type choice struct {
	IDs      []string `arg:"" optional:"" name:"id" help:"Ids of messages."`
	All      bool     `help:"All messages."`
	selector `embed:""`
	Yes      bool `help:"Do it. Without it, by a selector or --all, only what is meant is shown."`
}

// into puts ids or the selector into an action.
func (k choice) into(ids *[]string, sel **mail.QueueSelector, verb string) error {
	switch n := count(len(k.IDs) > 0, k.All, k.any()); {
	case n == 0:
		return &codedError{exitUsage, fmt.Errorf("queue %s: name the ids of messages, or a selector such as --domain, or --all", verb)}
	case n > 1:
		return &codedError{exitUsage, fmt.Errorf("queue %s: ids, selectors and --all exclude each other; give only one of the three", verb)}
	}
	if *ids = k.IDs; len(k.IDs) == 0 {
		s := k.selected()
		*sel = &s
	}
	return nil
}

func count(truths ...bool) (n int) {
	for _, t := range truths {
		if t {
			n++
		}
	}
	return n
}

func (k choice) act(c *cli, s streams, a control.Action, done string) error {
	if err := k.into(&a.IDs, &a.Select, a.Verb); err != nil {
		return err
	}
	client, err := dial(c)
	if err != nil {
		return err
	}
	a.Yes, a.By = k.Yes, operatorName()
	d, err := client.Act(context.Background(), a)
	if err != nil {
		return err
	}
	return report(c, s, d, done)
}

// report prints what was done, or what is meant.
func report(c *cli, s streams, d control.Done, done string) error {
	if c.JSON {
		return printJSON(s.out, d)
	}
	if !d.Did {
		return printMeant(s, d)
	}
	if d.Busy > 0 {
		fmt.Fprintf(s.err, "%s left out: being tried at this moment.\n", amount(d.Busy, "recipient"))
	}
	_, err := fmt.Fprintf(s.out, "%s %s.\n", amount(d.Messages, "message"), done)
	return err
}

// printMeant prints the answer of a dry run.
func printMeant(s streams, d control.Done) error {
	fmt.Fprintf(s.out, "This is for %s, %s, %s. Nothing was done; --yes does it.\n",
		amount(d.Messages, "message"), amount(d.Recipients, "recipient"), amount(int(d.Octets), "octet"))
	if len(d.First) == 0 {
		return nil
	}
	if err := printList(s.out, d.First); err != nil || d.Messages <= len(d.First) {
		return err
	}
	_, err := fmt.Fprintf(s.out, "and %d more\n", d.Messages-len(d.First))
	return err
}

func amount(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

type queueRetryCmd struct {
	choice `embed:""`
	Reason string `help:"Why; it is logged."`
}

// Run makes messages due now.
func (k queueRetryCmd) Run(c *cli, s streams) error {
	return k.act(c, s, control.Action{Verb: "retry", Reason: k.Reason}, "due now")
}

type queueHoldCmd struct {
	choice `embed:""`
	Reason string `required:"" help:"Why; it is shown and logged."`
	For    span   `placeholder:"TIME" help:"Release them after that: 30m, 2h, 3d."`
}

// Run holds messages.
func (k queueHoldCmd) Run(c *cli, s streams) error {
	return k.act(c, s, control.Action{Verb: "hold", Reason: k.Reason, For: time.Duration(k.For)}, "held")
}

type queueReleaseCmd struct {
	choice `embed:""`
	Reason string `help:"Why; it is logged."`
}

// Run releases messages.
func (k queueReleaseCmd) Run(c *cli, s streams) error {
	return k.act(c, s, control.Action{Verb: "release", Reason: k.Reason}, "released")
}

type queueBounceCmd struct {
	choice `embed:""`
	Reason string `required:"" help:"Why; it is logged, and not sent to anybody."`
	With   string `placeholder:"REPLY" help:"What the senders are told: \"550 5.7.1 text\", or the text alone."`
}

// Run fails recipients.
func (k queueBounceCmd) Run(c *cli, s streams) error {
	return k.act(c, s, control.Action{Verb: "bounce", Reason: k.Reason, Reply: k.With}, "bounced")
}

type queueDropCmd struct {
	choice `embed:""`
	Reason string `required:"" help:"Why; it is logged."`
}

// Run drops messages.
func (k queueDropCmd) Run(c *cli, s streams) error {
	return k.act(c, s, control.Action{Verb: "drop", Reason: k.Reason}, "dropped")
}

type queueRerouteCmd struct {
	choice `embed:""`
	To     string `required:"" placeholder:"ROUTE" help:"Name of a route of the running configuration."`
	Reason string `required:"" help:"Why; it is logged."`
}

// Run sends recipients by another route.
func (k queueRerouteCmd) Run(c *cli, s streams) error {
	return k.act(c, s, control.Action{Verb: "reroute", Reason: k.Reason, To: k.To}, "rerouted, and due now")
}

type queueSuspendCmd struct {
	Tenant   string `help:"Mail of this tenant."`
	Campaign string `help:"Mail of this campaign."`
	Domain   string `help:"Mail to this domain."`
	Route    string `help:"Mail by this route."`
	For      span   `required:"" placeholder:"TIME" help:"For how long: 30m, 2h, 3d."`
	Reason   string `required:"" help:"Why; it is shown and logged."`
	Yes      bool   `help:"Do it. Without it, only what is meant is shown."`
}

// Run makes a suspension.
func (k queueSuspendCmd) Run(c *cli, s streams) error {
	sel := mail.QueueSelector{Tenant: k.Tenant, Campaign: k.Campaign, Domain: k.Domain, Route: k.Route}
	if sel == (mail.QueueSelector{}) {
		return &codedError{exitUsage, errors.New("queue suspend: name at least one of --tenant, --campaign, --domain and --route")}
	}
	client, err := dial(c)
	if err != nil {
		return err
	}
	d, err := client.Suspend(context.Background(), control.SuspendAction{Select: sel, For: time.Duration(k.For), Yes: k.Yes, By: operatorName(), Reason: k.Reason})
	if err != nil {
		return err
	}
	if c.JSON || !d.Did {
		return report(c, s, d, "")
	}
	_, err = fmt.Fprintf(s.out, "Suspension %s until %s; it keeps back %s of the queue.\n", d.Suspension.ID, d.Suspension.Until.UTC().Format(time.RFC3339), amount(d.Messages, "message"))
	return err
}

type queueResumeCmd struct {
	IDs      []string `arg:"" optional:"" name:"suspension" help:"Ids of suspensions."`
	Tenant   string   `help:"Those of this tenant."`
	Campaign string   `help:"Those of this campaign."`
	Domain   string   `help:"Those of this domain."`
	Route    string   `help:"Those of this route."`
	All      bool     `help:"All suspensions."`
	Yes      bool     `help:"Do it. Without it, a selector or --all only shows what is meant."`
}

// Run ends suspensions.
func (k queueResumeCmd) Run(c *cli, s streams) error {
	a, err := k.action()
	if err != nil {
		return err
	}
	client, err := dial(c)
	if err != nil {
		return err
	}
	ended, err := client.Resume(context.Background(), a)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(s.out, ended)
	}
	if a.Select != nil && !a.Yes {
		return wouldEnd(s.out, ended)
	}
	_, err = fmt.Fprintf(s.out, "%s ended.\n", amount(len(ended), "suspension"))
	return err
}

func (k queueResumeCmd) action() (control.ResumeAction, error) {
	a := control.ResumeAction{IDs: k.IDs, Yes: k.Yes, By: operatorName()}
	sel := mail.QueueSelector{Tenant: k.Tenant, Campaign: k.Campaign, Domain: k.Domain, Route: k.Route}
	selects := sel != mail.QueueSelector{}
	if n := len(k.IDs); n > 0 && (k.All || selects) || n == 0 && k.All == selects {
		return a, &codedError{exitUsage, errors.New("queue resume: name the ids of suspensions, or some of --tenant, --campaign, --domain and --route, or --all")}
	}
	if len(k.IDs) == 0 {
		a.Select = &sel
	}
	return a, nil
}

// wouldEnd is a dry run of resume.
func wouldEnd(w io.Writer, ss []mail.Suspension) error {
	if len(ss) == 0 {
		_, err := fmt.Fprintln(w, "No suspension is meant.")
		return err
	}
	if err := printSuspensions(w, ss); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "This ends %s. Nothing was done; --yes does it.\n", amount(len(ss), "suspension"))
	return err
}

type queueSuspensionsCmd struct{}

// Run lists suspensions.
func (queueSuspensionsCmd) Run(c *cli, s streams) error {
	return look(c, s, func(q reader) error {
		ss, err := q.Suspensions(context.Background())
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(s.out, ss)
		}
		return printSuspensions(s.out, ss)
	})
}

func printSuspensions(out io.Writer, ss []mail.Suspension) error {
	if len(ss) == 0 {
		_, err := fmt.Fprintln(out, "Nothing is suspended.")
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tTENANT\tCAMPAIGN\tDOMAIN\tROUTE\tUNTIL\tBY\tREASON")
	for _, s := range ss {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", s.ID, orDash(s.Tenant), orDash(s.Campaign), orDash(s.Domain), orDash(s.Route),
			s.Until.UTC().Format(time.RFC3339), s.By, harmless(s.Reason))
	}
	return w.Flush()
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
