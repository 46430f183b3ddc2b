// SPDX-License-Identifier: Apache-2.0

package soak

import (
	"errors"
	"io"
	"net"
	"testing"

	"github.com/emersion/go-smtp"
)

// nextHop takes all mail and enters it into the ledger. It keeps nothing.
func nextHop(t *testing.T, l *ledger) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &arrival{l: l}, nil }))
	s.Domain, s.ReadTimeout, s.WriteTimeout = "hop.test", patience, patience
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(listener) }()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := <-ended; err != nil && !errors.Is(err, smtp.ErrServerClosed) {
			t.Error(err)
		}
	})
	return listener.Addr().String()
}

// arrival is one session of the next hop.
type arrival struct {
	l    *ledger
	from string
}

func (a *arrival) Mail(from string, _ *smtp.MailOptions) error { a.from = from; return nil }
func (a *arrival) Rcpt(string, *smtp.RcptOptions) error        { return nil }
func (a *arrival) Reset()                                      {}
func (a *arrival) Logout() error                               { return nil }

func (a *arrival) Data(r io.Reader) error {
	content, err := io.ReadAll(r)
	if err == nil {
		a.l.arrive(a.from, content)
	}
	return err
}
