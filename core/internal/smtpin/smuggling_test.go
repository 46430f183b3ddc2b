// SPDX-License-Identifier: Apache-2.0

package smtpin

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// smuggled is what an attacker hides in a message: a whole transaction.
const smuggled = "MAIL FROM:<evil@example.com>\r\nRCPT TO:<b@example.org>\r\nDATA\r\nevil\r\n.\r\n"

// codes extracts the reply codes, multi-line replies once.
func codes(out string) string {
	var c []string
	for _, m := range regexp.MustCompile(`(?m)^(\d{3}) `).FindAllStringSubmatch(out, -1) {
		c = append(c, m[1])
	}
	return strings.Join(c, " ")
}

// splits cuts s at each of its octets in turn, and into single octets.
func splits(s string) [][]string {
	all := [][]string{{s}, strings.Split(s, "")}
	for i := 1; i < len(s); i++ {
		all = append(all, []string{s[:i], s[i:]})
	}
	return all
}

// everySplit runs the same session with every segmentation: it must not matter.
func everySplit(t *testing.T, session, wantCodes string, wantBodies []string) {
	t.Helper()
	for i, segments := range splits(session) {
		b := &backend{}
		out := run(t, Options{Backend: b, Limits: Limits{LineLength: 300}}, segments...)
		if got := codes(out); got != wantCodes {
			t.Fatalf("split %d: codes %s, want %s\n%s", i, got, wantCodes, out)
		}
		if got, want := fmt.Sprintf("%q", b.bodies()), fmt.Sprintf("%q", wantBodies); got != want {
			t.Fatalf("split %d: messages %s, want %s", i, got, want)
		}
		if b.mails != b.closes {
			t.Fatalf("split %d: %d transactions opened, %d closed", i, b.mails, b.closes)
		}
	}
}

const open = "EHLO x\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.org>\r\n"

// Only CRLF.CRLF ends DATA, and whatever else could pass for it somewhere is
// refused (CVE-2023-51764 and its kin). What is hidden behind it stays content.
func TestSmugglingByDATA(t *testing.T) {
	for _, end := range []string{
		"\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r.\r\n", "\r\n.\r", "\r\n.\r\r\n", "\r\r\n.\r\r\n", "\r\n.\r\x00\n",
		"\n\n.\n\n", "\r\n.\n\r\n", "\n.\r", "\r.\n", "\r\n\n.\r\n", "\r\n\r.\r\n", "\r\n\x00.\r\n\n", "\r\n.\x00\r\n\n",
	} {
		t.Run(fmt.Sprintf("%q", end), func(t *testing.T) {
			t.Parallel()
			everySplit(t, open+"DATA\r\nx"+end+smuggled+"NOOP\r\nQUIT\r\n", "220 250 250 250 354 554 250 221", nil)
		})
	}
}

// A real end behind a bare CR or LF ends a message that is refused; the line
// behind it is a command.
func TestEndOfRefusedDATA(t *testing.T) {
	for _, end := range []string{"\r\r\n.\r\n", "\n\r\n.\r\n", "\r\n.\r\r\n.\r\n", "\r\n.\n\r\n.\r\n"} {
		t.Run(fmt.Sprintf("%q", end), func(t *testing.T) {
			t.Parallel()
			everySplit(t, open+"DATA\r\nx"+end+"DATA\r\nNOOP\r\nQUIT\r\n", "220 250 250 250 354 554 503 250 221", nil)
		})
	}
}

// Sound content survives as it is.
func TestContentByDATA(t *testing.T) {
	for in, out := range map[string]string{
		"":                                "",
		"\r\n":                            "\r\n",
		"..\r\n":                          ".\r\n",
		"...\r\n..x\r\n":                  "..\r\n.x\r\n",
		".x\r\n":                          "x\r\n",
		"x.\r\n":                          "x.\r\n",
		"\x00\r\n..\x00\r\n\xff\xfe\r\n":  "\x00\r\n.\x00\r\n\xff\xfe\r\n",
		"a: b\r\n\r\n\r\n..\r\n\r\n":      "a: b\r\n\r\n\r\n.\r\n\r\n",
		strings.Repeat("x", 300) + "\r\n": strings.Repeat("x", 300) + "\r\n",
	} {
		t.Run(fmt.Sprintf("%.20q", in), func(t *testing.T) {
			t.Parallel()
			everySplit(t, open+"DATA\r\n"+in+".\r\nNOOP\r\nQUIT\r\n", "220 250 250 250 354 250 250 221", []string{out})
		})
	}
}

func TestSmugglingByBDAT(t *testing.T) {
	for content, want := range map[string]string{
		"x\r\n.\r\n" + smuggled: "250", // chunks have no end mark
		"x\n.\n" + smuggled:     "554",
		"x\n.\r\n" + smuggled:   "554",
		"x\r\n.\r" + smuggled:   "554",
		"x\r.\r" + smuggled:     "554",
		"\r\r\n" + smuggled:     "554",
		"x\r":                   "554",
		"\n":                    "554",
		"x\x00.\x00\r\n":        "250",
		".":                     "250",
		"":                      "250",
	} {
		t.Run(fmt.Sprintf("%.20q", content), func(t *testing.T) {
			t.Parallel()
			var bodies []string
			if want == "250" {
				bodies = []string{content}
			}
			one := fmt.Sprintf("BDAT %d LAST\r\n%s", len(content), content)
			everySplit(t, open+one+"NOOP\r\nQUIT\r\n", "220 250 250 250 "+want+" 250 221", bodies)
			if want == "250" {
				everySplit(t, open+singles(content)+"BDAT 0 LAST\r\nNOOP\r\nQUIT\r\n",
					"220 250 250 250 "+strings.Repeat("250 ", len(content))+"250 250 221", bodies)
			}
		})
	}
}

// singles returns content in chunks of one octet.
func singles(content string) string {
	var b strings.Builder
	for i := 0; i < len(content); i++ {
		fmt.Fprintf(&b, "BDAT 1\r\n%c", content[i])
	}
	return b.String()
}

// A command line with anything but CRLF at its end ends the session at once.
func TestBareNewlineInCommands(t *testing.T) {
	for _, line := range []string{"NOOP\n", "NOOP\r", "NOOP\r\r\n", "\n", "\r\r\n", "NO\nOP\r\n", "NO\rOP\r\n", "EHLO x\nMAIL FROM:<>\r\n"} {
		t.Run(fmt.Sprintf("%q", line), func(t *testing.T) {
			t.Parallel()
			everySplit(t, open+line+"NOOP\r\nQUIT\r\n", "220 250 250 250 500", nil)
		})
	}
}

// Control characters in a command are refused, and the line ends where it ends.
func TestControlCharactersInCommands(t *testing.T) {
	for line, want := range map[string]string{
		"NO\x00OP":                              "500",
		"NOOP \x00":                             "500",
		"\x00":                                  "500",
		"":                                      "500",
		" ":                                     "500",
		"MAIL FROM:<a\x00@example.com>":         "501",
		"MAIL FROM:<a@example.com\x00>":         "501",
		"MAIL FROM:<\"a\x01\"@example.com>":     "501",
		"MAIL FROM:<a@example.com> SIZE=1\t":    "501",
		"EHLO x\x7f":                            "501",
		"EHLO \xc3\xa4":                         "501",
		"MAIL FROM:<\xff@example.com> SMTPUTF8": "501",
	} {
		t.Run(fmt.Sprintf("%q", line), func(t *testing.T) {
			t.Parallel()
			everySplit(t, "EHLO x\r\n"+line+"\r\nNOOP\r\n", "220 250 "+want+" 250", nil)
		})
	}
}

// A BDAT that cannot be followed ends the session: its chunk would be commands.
func TestUnreadableChunkSize(t *testing.T) {
	for _, arg := range []string{"", "-1", "+1", "x", "1 2", "1 LAST LAST", "0x1", "18446744073709551616", "9223372036854775808", "1LAST", "000000000000000000001"} {
		t.Run(arg, func(t *testing.T) {
			t.Parallel()
			everySplit(t, open+"BDAT "+arg+"\r\n"+smuggled, "220 250 250 250 501", nil)
			everySplit(t, open+"BDAT 1\r\nxBDAT "+arg+"\r\n"+smuggled, "220 250 250 250 250 501", nil)
		})
	}
}

// Two transactions and all their replies in one go.
func TestPipelinedSessions(t *testing.T) {
	envelope := "MAIL FROM:<a@example.com>\r\nRCPT TO:<reject@example.org>\r\nRCPT TO:<b@example.org>\r\n"
	session := "EHLO x\r\n" + envelope + "DATA\r\none\r\n.\r\n" + envelope + "BDAT 1 LAST\r\n2RSET\r\nNOOP\r\nQUIT\r\nNOOP\r\n"
	everySplit(t, session, "220 250 250 550 250 354 250 250 550 250 250 250 250 221", []string{"one\r\n", "2"})
}
