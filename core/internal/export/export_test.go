// SPDX-License-Identifier: Apache-2.0

package export

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/postroad-mail/postroad/core/mail"
)

func sample(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2030, 1, 2, 3, 4, 5, 6, time.UTC)
	env := &mail.Envelope{ID: "01ARZ3NDEKTSV4RRFFQ69G5FAV", Sender: "a@example.org", Received: at, Tenant: "shop",
		Recipients: []mail.Recipient{{Address: "x@example.net", Original: "x@example.net", Route: "slow"}, {Address: "y@example.net"}}}
	states := []State{{Attempts: 2, Next: at, Last: mail.Outcome{Reply: mail.Reply{Code: 451, Text: "not now"}}}, {Status: mail.Failed}}
	if err := w.Add(&Meta{Envelope: env, States: states, Hold: &Hold{Kind: "hold", Reason: "why"}}, []byte("Subject: x\r\n\r\n"), mail.BytesBody("one\r\nend 1\r\n")); err != nil {
		t.Fatal(err)
	}
	if err := w.Add(&Meta{Envelope: env}, nil, nil); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// readAll reads an export and returns its messages and bodies.
func readAll(b []byte) (ms []*Message, bodies []string, err error) {
	r, err := NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, nil, err
	}
	for {
		m, err := r.Next()
		if err == io.EOF {
			return ms, bodies, nil
		}
		if err != nil {
			return ms, bodies, err
		}
		body, err := io.ReadAll(m.Body)
		if err != nil {
			return ms, bodies, err
		}
		ms, bodies = append(ms, m), append(bodies, string(body))
	}
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	ms, bodies, err := readAll(sample(t))
	if err != nil || len(ms) != 2 {
		t.Fatalf("%d messages, %v", len(ms), err)
	}
	m := ms[0]
	if m.Envelope.Tenant != "shop" || m.Envelope.Recipients[0].Route != "slow" || m.States[0].Attempts != 2 || m.States[0].Last.Reply.Code != 451 ||
		m.States[1].Status != mail.Failed || m.Hold.Reason != "why" || string(m.Header) != "Subject: x\r\n\r\n" || bodies[0] != "one\r\nend 1\r\n" {
		t.Errorf("%+v %q", m, bodies)
	}
	if ms[1].States != nil || ms[1].Hold != nil || bodies[1] != "" {
		t.Errorf("%+v", ms[1])
	}
}

// Bodies need not be read.
func TestBodiesMayBeSkipped(t *testing.T) {
	r, err := NewReader(bytes.NewReader(sample(t)))
	n := 0
	for ; err == nil; n++ {
		_, err = r.Next()
	}
	if err != io.EOF || n != 3 {
		t.Errorf("%d, %v", n, err)
	}
}

// TestNoOctetChangesUnseen turns over each octet, and cuts the file at each.
func TestNoOctetChangesUnseen(t *testing.T) {
	good := sample(t)
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 1
		if _, _, err := readAll(bad); err == nil {
			t.Errorf("octet %d of %d was changed (%q), and nobody saw it", i, len(good), good[max(0, i-10):i+1])
		}
		if _, _, err := readAll(good[:i]); !errors.Is(err, ErrDamaged) {
			t.Errorf("cut at octet %d: %v", i, err)
		}
	}
	if _, _, err := readAll(append(good, 'x')); !errors.Is(err, ErrDamaged) {
		t.Errorf("with an octet more: %v", err)
	}
}

func TestOtherVersionsAreRefused(t *testing.T) {
	_, err := NewReader(strings.NewReader("postroad-export 2\n"))
	if err == nil || !strings.Contains(err.Error(), "version 2") {
		t.Errorf("%v", err)
	}
}

// FuzzRead: nothing makes the reader panic, read on for ever or allocate more
// than there is; and what it takes is written as it was read.
func FuzzRead(f *testing.F) {
	f.Add(sample(f))
	f.Add([]byte("postroad-export 1\nend 0 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n"))
	f.Add([]byte("postroad-export 1\nmessage 9999999 9999999 99999999999 00\n{}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		ms, bodies, err := readAll(b)
		if err != nil {
			return
		}
		var again bytes.Buffer
		w, _ := NewWriter(&again)
		for i, m := range ms {
			if err := w.Add(&m.Meta, m.Header, mail.BytesBody(bodies[i])); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if n, _, err := readAll(again.Bytes()); err != nil || len(n) != len(ms) {
			t.Errorf("%d messages, then %d, %v", len(ms), len(n), err)
		}
	})
}
