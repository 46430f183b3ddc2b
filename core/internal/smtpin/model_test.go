// SPDX-License-Identifier: Apache-2.0

package smtpin

import (
	"fmt"
	"math/rand"
	"strings"
	"testing"
)

// model is what a session should do, written down as simply as can be.
type model struct {
	kind                       Kind
	greeted, tx, tried, chunks bool
	binary                     bool
	from                       string
	rcpts                      []string
	content                    string // chunks so far

	codes              []string
	mails, datas       int
	messages           []string
	session            strings.Builder // what the client sends
	serial, recipients int
}

func (m *model) reply(code int) { m.codes = append(m.codes, fmt.Sprint(code)) }
func (m *model) reset() {
	m.tx, m.tried, m.chunks, m.binary, m.from, m.rcpts, m.content = false, false, false, false, "", nil, ""
}
func (m *model) send(format string, a ...any) { fmt.Fprintf(&m.session, format, a...) }

func (m *model) hello(verb, arg string) {
	m.send("%s %s\r\n", verb, arg)
	if (verb == "LHLO") != (m.kind == LMTP) {
		m.chunksAborted()
		m.reply(500)
		return
	}
	if arg == "bad(" {
		m.chunksAborted()
		m.reply(501)
		return
	}
	m.reset()
	m.greeted = true
	m.reply(250)
}

// chunksAborted: RSET, EHLO or QUIT between chunks ends the message, even one
// that is then refused for its syntax.
func (m *model) chunksAborted() {
	if m.chunks {
		m.reset()
	}
}

func (m *model) mail(from string, binary bool) {
	m.send("MAIL FROM:<%s>%s\r\n", from, map[bool]string{true: " BODY=BINARYMIME"}[binary])
	switch {
	case m.chunks, !m.greeted, m.tx:
		m.reply(503)
	case strings.HasPrefix(from, "reject"):
		m.reply(550)
	case strings.HasPrefix(from, "-"):
		m.reply(501)
	default:
		m.tx, m.from, m.binary = true, from, binary
		m.mails++
		m.reply(250)
	}
}

func (m *model) rcpt(to string) {
	m.send("RCPT TO:<%s>\r\n", to)
	if m.chunks || !m.tx {
		m.reply(503)
		return
	}
	m.tried = true
	switch {
	case to == "":
		m.reply(501)
	case len(m.rcpts) == m.recipients:
		m.reply(452)
	case strings.HasPrefix(to, "reject"):
		m.reply(550)
	default:
		m.rcpts = append(m.rcpts, to)
		m.reply(250)
	}
}

// unwelcome is the code for content that may not come now, 0 if it may.
func (m *model) unwelcome() int {
	switch {
	case !m.tx, len(m.rcpts) == 0 && (!m.tried || m.kind == LMTP):
		return 503
	case len(m.rcpts) == 0:
		return 554
	}
	return 0
}

func (m *model) data(content string) {
	m.send("DATA\r\n")
	switch code := m.unwelcome(); {
	case m.chunks:
		m.reply(503)
		return
	case code != 0:
		m.reply(code)
		return
	case m.binary:
		m.reply(503)
		return
	}
	m.reply(354)
	m.datas++
	m.send("%s.\r\n", content)
	m.finish(content, true)
}

func (m *model) bdat(content string, last bool) {
	tail := ""
	if last {
		tail = " LAST"
	}
	m.send("BDAT %d%s\r\n%s", len(content), tail, content)
	if code := m.unwelcome(); code != 0 && !m.chunks {
		m.reply(code)
		return
	}
	if !m.chunks {
		m.datas++
	}
	m.chunks = true
	m.content += content
	if last || m.verdict(m.content) != 250 {
		m.finish(m.content, last)
		return
	}
	m.reply(250)
}

// verdict is the code for content of this transaction.
func (m *model) verdict(content string) int {
	switch {
	case strings.HasPrefix(m.from, "early"):
		return 550
	case len(content) > modelSize:
		return 552
	case strings.Contains(m.lines(content), "a\nb"):
		return 554
	}
	return 250
}

// lines is the part of content that has lines: of a binary message its header section.
func (m *model) lines(content string) string {
	if !m.binary {
		return content
	}
	header, _, _ := strings.Cut("\r\n"+content, "\r\n\r\n")
	return header
}

// finish ends a message. Over LMTP its end, and not a chunk before it, has a reply for
// each recipient.
func (m *model) finish(content string, end bool) {
	code := m.verdict(content)
	for i, to := range m.rcpts {
		switch {
		case m.kind != LMTP || !end:
			if i == 0 {
				m.reply(code)
			}
		case code == 250 && strings.HasPrefix(to, "late-reject"):
			m.reply(550)
		default:
			m.reply(code)
		}
	}
	if code == 250 {
		m.messages = append(m.messages, fmt.Sprintf("%s %s %q", m.from, m.rcpts, content))
	}
	m.reset()
}

func (m *model) other(line string, code int) {
	m.send("%s\r\n", line)
	m.reply(code)
}

const modelSize = 200

// step does one random thing, biased towards getting somewhere.
func (m *model) step(r *rand.Rand) {
	m.serial++
	content := fmt.Sprintf("message %d\r\n", m.serial)
	switch r.Intn(12) {
	case 0:
		content = "a\nb\r\n"
	case 1:
		content = strings.Repeat("y", modelSize-1) + "\r\n"
	case 2:
		content = ""
	case 3, 4:
		content = "\r\na\nb\r\n"
	}
	froms := []string{"", "a@example.com", "a@example.com", "b@example.com", "early@example.com", "reject@example.com", "-@-"}
	rcpts := []string{"c@example.org", "d@example.org", "reject@example.org", "", "late-reject@example.org"}
	if m.kind != LMTP {
		rcpts = rcpts[:4]
	}
	switch r.Intn(24) {
	case 0:
		verbs := []string{"EHLO", "HELO"}
		if m.kind == LMTP {
			verbs = []string{"LHLO", "LHLO", "LHLO", "EHLO"}
		}
		m.hello(verbs[r.Intn(len(verbs))], []string{"x.example", "bad("}[r.Intn(2)])
	case 1:
		m.send("RSET\r\n")
		m.reset()
		m.reply(250)
	case 2:
		m.other("NOOP", 250)
	case 3:
		m.other("WHAT", 500)
	case 4:
		m.other("VRFY x", 252)
	case 5:
		m.send("STARTTLS\r\n")
		m.reply(map[bool]int{true: 503, false: 502}[m.chunks])
	case 6, 7, 8, 9, 10:
		m.mail(froms[r.Intn(len(froms))], r.Intn(4) == 0)
	case 11, 12, 13, 14, 15, 16:
		m.rcpt(rcpts[r.Intn(len(rcpts))])
	case 17, 18, 19:
		m.data(content)
	default:
		m.bdat(content, r.Intn(3) == 0)
	}
}

// TestModel plays random sessions, randomly segmented. The Backend must see
// each transaction once and each message at most once, and no reply, recipient
// or verdict may leak from one transaction into the next.
func TestModel(t *testing.T) { playModel(t, SMTP, "EHLO") }

// Over LMTP the replies to a message are one for each recipient, and the next command
// has its own behind them.
func TestModelOfLMTP(t *testing.T) { playModel(t, LMTP, "LHLO") }

func playModel(t *testing.T, kind Kind, hello string) {
	for seed := int64(0); seed < 500; seed++ {
		r := rand.New(rand.NewSource(seed))
		m := &model{kind: kind, recipients: 2, codes: []string{"220"}}
		if r.Intn(8) > 0 {
			m.hello(hello, "x.example")
		}
		for i := 0; i < 60; i++ {
			m.step(r)
		}
		checkModel(t, seed, m, segment(r, m.session.String()))
	}
}

func segment(r *rand.Rand, s string) []string {
	var out []string
	for mean := 1 + r.Intn(100); s != ""; {
		n := min(len(s), 1+r.Intn(mean))
		out = append(out, s[:n])
		s = s[n:]
	}
	return out
}

func checkModel(t *testing.T, seed int64, m *model, segments []string) {
	t.Helper()
	b := &backend{}
	out := run(t, Options{Backend: b, Kind: m.kind, Limits: Limits{MessageSize: modelSize, Recipients: m.recipients, Errors: 1 << 30}}, segments...)
	if got, want := codes(out), strings.Join(m.codes, " "); got != want {
		t.Fatalf("seed %d: codes\n%s, want\n%s\nsession:\n%s", seed, got, want, m.session.String())
	}
	var got []string
	for _, r := range b.messages {
		got = append(got, fmt.Sprintf("%s %s %q", r.from, r.to, r.body))
	}
	if fmt.Sprint(got) != fmt.Sprint(m.messages) {
		t.Fatalf("seed %d: messages\n%s, want\n%s", seed, got, m.messages)
	}
	if b.mails != m.mails || b.closes != m.mails || b.datas != m.datas {
		t.Fatalf("seed %d: %d Mail, %d Close, want %d; %d Data, want %d", seed, b.mails, b.closes, m.mails, b.datas, m.datas)
	}
}
