// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/postroad-mail/postroad/core/internal/pipeline"
	"github.com/postroad-mail/postroad/core/mail"
)

// decision tells what a pipeline did with a message, one fact a line, so that
// two runs can be compared line by line. header and body are those before the
// first stage, env is the envelope afterwards.
func decision(env *mail.Envelope, header *mail.Header, body mail.Body, res *pipeline.Result) []string {
	if res.Reply != nil {
		return append([]string{"refused " + res.Reply.Line()}, scores(env)...)
	}
	var lines []string
	for _, m := range res.Messages {
		lines = append(lines, taken(m, header, body)...)
	}
	for _, f := range res.Refused {
		lines = append(lines, fmt.Sprintf("recipient %s refused by %s: %s", f.Recipient.Address, f.Stage, f.Reply.Line()))
	}
	if res.Discarded > 0 {
		lines = append(lines, fmt.Sprintf("%d recipients discarded", res.Discarded))
	}
	for _, e := range res.Emitted {
		lines = append(lines, fmt.Sprintf("emitted %s to %v", e.Sender.Path(), e.Recipients))
	}
	if len(lines) == 0 {
		lines = []string{"nothing is left of it"}
	}
	return append(lines, scores(env)...)
}

func scores(env *mail.Envelope) []string {
	var lines []string
	for _, s := range env.Scores {
		lines = append(lines, fmt.Sprintf("score %s.%s %.3f", s.Stage, s.Symbol, float64(s.Milli)/1000))
	}
	return lines
}

// taken tells of one message that is accepted.
func taken(m *pipeline.Message, header *mail.Header, body mail.Body) []string {
	var lines []string
	for i := range m.Envelope.Recipients {
		if r := &m.Envelope.Recipients[i]; !r.Removed {
			lines = append(lines, "recipient "+recipientLine(r, m.Hold))
		}
	}
	if e := m.Envelope; e.Sender != e.OriginalSender {
		lines = append(lines, "sender "+e.Sender.Path())
	}
	lines = append(lines, queueLines(m.Envelope)...)
	lines = append(lines, headerLines(header, &m.Header)...)
	if !sameBody(m.Body, body) {
		lines = append(lines, "body "+bodyLine(m.Body))
	}
	return lines
}

// sameBody reports whether two bodies have the same octets.
func sameBody(a, b mail.Body) bool {
	if a == nil || b == nil || a.Size() != b.Size() {
		return a == nil && b == nil
	}
	return bodyLine(a) == bodyLine(b)
}

func recipientLine(r *mail.Recipient, hold *pipeline.Hold) string {
	line := string(r.Address)
	if r.Original != "" && r.Original != r.Address {
		line += " for " + string(r.Original)
	}
	if r.Route != "" {
		line += " by route " + r.Route
	}
	if r.NextHop != "" {
		line += " by next hop " + r.NextHop
	}
	if hold != nil {
		line += fmt.Sprintf(" %v by %s: %s", hold.Verdict, hold.Stage, hold.Reason)
	}
	return line
}

func queueLines(e *mail.Envelope) []string {
	var lines []string
	for _, at := range []struct {
		name string
		time time.Time
	}{{"not before", e.NotBefore}, {"expires", e.Expires}} {
		if !at.time.IsZero() {
			lines = append(lines, at.name+" "+at.time.UTC().Format(time.RFC3339))
		}
	}
	if e.Priority != 0 {
		lines = append(lines, fmt.Sprintf("priority %d", e.Priority))
	}
	for _, l := range [...][2]string{{"tenant", e.Tenant}, {"campaign", e.Campaign}} {
		if l[1] != "" {
			lines = append(lines, l[0]+" "+l[1])
		}
	}
	if e.NoDSN {
		lines = append(lines, "no reports")
	}
	return lines
}

// headerLines lists the fields that were taken out and those that came in.
func headerLines(before, after *mail.Header) []string {
	count := map[string]int{}
	for _, f := range before.Fields() {
		count[string(f.Raw)]++
	}
	var added []string
	for _, f := range after.Fields() {
		if raw := string(f.Raw); count[raw] > 0 {
			count[raw]--
		} else {
			added = append(added, "header + "+oneLine(f))
		}
	}
	var gone []string
	for _, f := range before.Fields() {
		if raw := string(f.Raw); count[raw] > 0 {
			count[raw]--
			gone = append(gone, "header - "+oneLine(f))
		}
	}
	return append(gone, added...)
}

// oneLine is a header field on one line of at most 200 octets.
func oneLine(f mail.Field) string {
	s := strings.ToValidUTF8(f.Name()+": "+f.Value(), "?")
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, s)
	if len(s) > 200 {
		s = strings.ToValidUTF8(s[:200], "") + "…"
	}
	return s
}

func bodyLine(b mail.Body) string {
	if b == nil {
		return "is empty"
	}
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(b, 0, b.Size())); err != nil {
		return "cannot be read: " + err.Error()
	}
	return fmt.Sprintf("is new: %d octets, SHA-256 %s", b.Size(), hex.EncodeToString(h.Sum(nil)[:8]))
}

// differences compares two lists of facts: "- " before those that are only in a,
// "+ " before those only in b, in their order.
func differences(a, b []string) []string {
	var out []string
	rest := slices.Clone(b)
	for _, line := range a {
		if i := slices.Index(rest, line); i >= 0 {
			rest = slices.Delete(rest, i, i+1)
		} else {
			out = append(out, "- "+line)
		}
	}
	for _, line := range rest {
		out = append(out, "+ "+line)
	}
	return out
}
