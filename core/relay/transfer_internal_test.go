// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/postroad-mail/postroad/core/internal/control"
	"github.com/postroad-mail/postroad/core/internal/export"
	"github.com/postroad-mail/postroad/core/internal/queue"
	"github.com/postroad-mail/postroad/core/mail"
)

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("no space") }

func moveAll(r *Relay, w interface{ Write([]byte) (int, error) }) error {
	return operator{r}.Export(context.Background(), control.ExportAction{Select: &mail.QueueSelector{}, Remove: true}, w)
}

// An export that fails leaves no message on hold.
func TestAFailedExportLetsMailGo(t *testing.T) {
	r, _, _ := watched(t)
	if err := moveAll(r, fullDisk{}); err == nil || !strings.Contains(err.Error(), "no space") {
		t.Errorf("%v", err)
	}
	if s := r.engine.Load().queue.Stats(); s.Held.Messages != 0 || s.Ready.Messages != 1 {
		t.Errorf("%+v", s)
	}
}

// What is being tried does not move: it may be delivered from here.
func TestWhatIsBeingTriedDoesNotMove(t *testing.T) {
	r, clock, _ := watched(t)
	e := r.engine.Load()
	l := e.queue.Due(clock.Now(), 10)
	var out bytes.Buffer
	if err := moveAll(r, &out); err != nil || !strings.Contains(out.String(), "\nend 0 ") {
		t.Errorf("%v: %s", err, out.String())
	}
	e.queue.Return(l[0].Message.ID(), l[0].Recipients)
	if s := e.queue.Stats(); s.Held.Messages != 0 {
		t.Errorf("%+v", s)
	}
	if err := moveAll(r, &out); err != nil || !strings.Contains(out.String(), "\nend 1 ") {
		t.Errorf("%v: %s", err, out.String())
	}
	if s := e.queue.Stats(); s.Held.Messages != 1 {
		t.Errorf("what moves is not held: %+v", s)
	}
}

// Nothing of an export becomes a line of its own in a protocol.
func TestImportRefusesSmuggledLines(t *testing.T) {
	good := func() *mail.Envelope {
		return &mail.Envelope{ID: "01ARZ3NDEKTSV4RRFFQ69G5FAV", Sender: "a@x.test", Recipients: []mail.Recipient{{Address: "b@x.test"}}}
	}
	bad := map[string]func(e *mail.Envelope) (header, body string){
		"recipient": func(e *mail.Envelope) (string, string) {
			e.Recipients[0].Address = "b@x.test>\r\nRCPT TO:<c@x.test"
			return "", ""
		},
		"params":   func(e *mail.Envelope) (string, string) { e.Params = "X\r\nQUIT"; return "", "" },
		"body":     func(*mail.Envelope) (string, string) { return "A: b\r\n\r\n", "x\n.\nMAIL FROM:<>\n" },
		"header":   func(*mail.Envelope) (string, string) { return "A: b\n\n", "" },
		"priority": func(e *mail.Envelope) (string, string) { e.Priority = 300; return "", "" },
		"id":       func(e *mail.Envelope) (string, string) { e.ID = "../../etc/passwd"; return "", "" },
	}
	for what, spoil := range bad {
		for _, yes := range []bool{true, false} {
			r, _, _ := watched(t)
			env := good()
			header, body := spoil(env)
			var file bytes.Buffer
			w, _ := export.NewWriter(&file)
			if err := errors.Join(w.Add(&export.Meta{Envelope: env}, []byte(header), mail.BytesBody(body)), w.Close()); err != nil {
				t.Fatal(err)
			}
			if _, err := (operator{r}).Import(context.Background(), control.ImportAction{Yes: yes}, &file); err == nil {
				t.Errorf("%s was taken", what)
			}
			if all, err := r.engine.Load().queue.List(t.Context(), queue.Filter{}); len(all) != 1 {
				t.Errorf("%s: %d messages, %v", what, len(all), err)
			}
		}
	}
}

func TestBounceReplies(t *testing.T) {
	for text, want := range map[string]string{
		"":                           "550 5.7.1 refused by the operator of the relay",
		"gone away":                  "550 5.7.1 gone away",
		"550 5.1.1 no such user":     "550 5.1.1 no such user",
		"554 no more":                "554 5.0.0 no more",
		"5 years ago":                "550 5.7.1 5 years ago",
		"5th floor closed":           "550 5.7.1 5th floor closed",
		"421 4.3.2 not a bounce":     "421 4.3.2 not a bounce",
		"550 4.3.2 of two minds":     "error",
		"two\r\nlines":               "error",
		strings.Repeat("long ", 200): "error",
	} {
		r, err := bounceReply(text)
		if got := r.Line(); err == nil && got != want || (err != nil) != (want == "error") {
			t.Errorf("%q is %q, %v", text, got, err)
		}
	}
}
