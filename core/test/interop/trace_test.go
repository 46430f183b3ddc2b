// SPDX-License-Identifier: Apache-2.0

//go:build interop

package interop

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"regexp"
)

// The trace fields that may be added on the way, in the order of the file. Nothing else may differ.
var (
	// What smtp-sink writes above a message (smtp-sink(1), DUMP FILE FORMAT). It writes LF for CRLF, and an empty line
	// behind the message.
	sinkTrace = regexp.MustCompile(`\A(?:X-Client-Addr: .*\nX-Client-Proto: .*\n(?:X-Helo-Args: .*\n)?X-Mail-Args: .*\n(?:X-Rcpt-Args: .*\n)+)` +
		`Received: from .*\n\tby smtp-sink \(smtp-sink\) with .*\n\t.*\n`)
	// What Postroad puts into the files of a Maildir, with LF for CRLF.
	mailboxTrace = regexp.MustCompile(`\AReturn-Path: <.*>\nDelivered-To: .*\n`)
	// Postroad's Received field (RFC 5321 §4.4).
	received = regexp.MustCompile(`\AReceived: from [^\n]*\n?(?:[ \t][^\n]*\n)*`)
	// Ours names us, the protocol, and an id.
	receivedByUs = regexp.MustCompile(`\sby\s+relay\.test\s+with\s+(E?SMTPS?|UTF8SMTPS?)\s+id\s+[0-9A-Z]{26}[\s;]`)
)

var errNoTrace = errors.New("the trace fields are not there yet, or not as expected")

// fromSink takes the trace fields off a file of smtp-sink and returns the message with LF for CRLF.
func fromSink(path string) ([]byte, error) {
	b, err := cut(path, sinkTrace)
	if err != nil {
		return nil, err
	}
	b, ok := bytes.CutSuffix(b, []byte("\n"))
	if !ok {
		return nil, errNoTrace
	}
	return withoutReceived(b)
}

// fromMailbox takes the trace fields off a file of a Maildir and returns the message with LF for CRLF.
func fromMailbox(path string) ([]byte, error) {
	b, err := cut(path, mailboxTrace)
	if err != nil {
		return nil, err
	}
	return withoutReceived(b)
}

func cut(path string, trace *regexp.Regexp) ([]byte, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	at := trace.FindIndex(b)
	if at == nil {
		return nil, fmt.Errorf("%w: %.300q", errNoTrace, b)
	}
	return b[at[1]:], nil
}

// withoutReceived takes our Received field off a message with LF line ends.
func withoutReceived(b []byte) ([]byte, error) {
	at := received.FindIndex(b)
	if at == nil || !receivedByUs.Match(b[:at[1]]) {
		return nil, fmt.Errorf("%w: our Received field in %.300q", errNoTrace, b)
	}
	return b[at[1]:], nil
}

// same compares by SHA-256.
func same(got, want []byte) error {
	g, w := sha256.Sum256(got), sha256.Sum256(want)
	if g == w {
		return nil
	}
	return fmt.Errorf("got %d octets with SHA-256 %x, want %d with %x; they part at %s", len(got), g[:4], len(want), w[:4], parting(got, want))
}

// parting shows where two messages begin to differ.
func parting(got, want []byte) string {
	i := 0
	for i < len(got) && i < len(want) && got[i] == want[i] {
		i++
	}
	return fmt.Sprintf("octet %d: got %.60q, want %.60q", i, got[i:], want[i:])
}

// lf writes LF for CRLF, as Maildirs and smtp-sink do.
func lf(b []byte) []byte { return bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n")) }

// crlf is the inverse of lf.
func crlf(b []byte) []byte { return bytes.ReplaceAll(b, []byte("\n"), []byte("\r\n")) }
