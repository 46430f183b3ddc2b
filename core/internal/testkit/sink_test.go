// SPDX-License-Identifier: Apache-2.0

package testkit_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postroad-mail/postroad/core/internal/testkit"
)

func TestSinkRecordsExactOctets(t *testing.T) {
	s := testkit.NewSink(t, testkit.SinkOptions{Script: testkit.RefuseRcpt("bad@", "550 5.1.1 unknown")})
	testkit.Dialogue(t, s.Addr().String(), "testdata/plain.txt")
	want := []testkit.Received{{
		Conn: 1, Client: "127.0.0.1", From: "<a@example.com>", FromParams: []string{"SIZE=3"}, To: []string{"<b@example.org>"},
		Content: []byte("Subject: dots\r\n\r\n.one\r\nbare\nand\rbare\r\nababababab\r\n"), Helo: "client.test",
	}}
	if d := cmp.Diff(want, s.Messages()); d != "" {
		t.Error(d)
	}
	if s.Bare() != 2 || s.Connections() != 1 {
		t.Errorf("bare %d, connections %d", s.Bare(), s.Connections())
	}
}

func TestSinkDropsBeforeTheDot(t *testing.T) {
	s := testkit.NewSink(t, testkit.SinkOptions{TLS: testkit.NewCert(t, "sink.test").ServerConfig(), Script: testkit.Drop(testkit.VerbContent)})
	testkit.Dialogue(t, s.Addr().String(), "testdata/starttls.txt")
	if s.Count() != 0 {
		t.Errorf("count %d", s.Count())
	}
}

func TestDialogueNamesTheLineThatDoesNotFit(t *testing.T) {
	s := testkit.NewSink(t, testkit.SinkOptions{})
	for text, want := range map[string]string{
		"S: 220 *\n\nC: NOOP\nS: 500 *": `x:4: S: 500 *: got "250 2.0.0 ok"`,
		"C; x":                          "x:1: C; x: not a step of a dialogue",
	} {
		if err := testkit.RunDialogue(s.Addr().String(), "x", text); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
