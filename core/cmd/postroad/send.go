// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/emersion/go-message"
	"github.com/emersion/go-smtp"
)

type sendCmd struct {
	Server  string   `default:"127.0.0.1:2525" env:"POSTROAD_LISTEN" help:"Server as host:port."`
	From    string   `default:"postroad@localhost" help:"Sender; empty for the null sender."`
	To      []string `required:"" help:"Recipient; may be given several times."`
	Subject string   `default:"Hello from Postroad" help:"Subject of the message."`
	Header  []string `help:"One more header field, 'Name: value'; may be given several times." sep:"none"`
	File    string   `type:"existingfile" help:"Send this file, a whole message (RFC 5322), unchanged but for line ends."`
	Notify  string   `help:"What to report of each recipient: never, or a list of success, failure and delay (RFC 3461)."`
	Ret     string   `name:"ret" help:"What a report on a failure brings back: full or hdrs."`
	Envid   string   `name:"envid" help:"Envelope id that reports bring back."`
	Orcpt   []string `name:"orcpt" help:"Original recipient, type and address ('rfc822;bob@example.org'), one for each --to in the same order." sep:"none"`
	TLS     bool     `name:"tls" help:"Demand STARTTLS, without checking the certificate."`
	Text    string   `arg:"" optional:"" help:"The text; without it and without --file it is read from standard input."`
}

// Run sends one message and prints the server's reply.
func (k sendCmd) Run(c *cli, s streams) error {
	ask, err := k.wishes()
	if err != nil {
		return &codedError{exitUsage, fmt.Errorf("send: %w", err)}
	}
	msg, err := k.message(s.in)
	if err != nil {
		return err
	}
	reply, err := k.send(msg, ask)
	if err != nil {
		return sendFault(err)
	}
	if c.JSON {
		return printJSON(s.out, map[string]string{"reply": reply})
	}
	_, err = fmt.Fprintln(s.out, reply)
	return err
}

func (k sendCmd) send(msg []byte, ask *wishes) (string, error) {
	client, err := k.dial()
	if err != nil {
		return "", err
	}
	defer client.Close()
	if ok, _ := client.Extension("DSN"); !ok && ask.some {
		return "", errNoDSN
	}
	if err := client.Mail(k.From, ask.mail); err != nil {
		return "", err
	}
	for i, to := range k.To {
		if err := client.Rcpt(to, ask.rcpt[i]); err != nil {
			return "", fmt.Errorf("recipient %s: %w", to, err)
		}
	}
	w, err := client.Data()
	if err != nil {
		return "", err
	}
	if _, err := w.Write(msg); err != nil {
		return "", err
	}
	resp, err := w.CloseWithResponse()
	if err != nil {
		return "", err
	}
	client.Quit() //nolint:errcheck // the message has been taken
	return "250 " + resp.StatusText, nil
}

func (k sendCmd) dial() (*smtp.Client, error) {
	if k.TLS {
		return smtp.DialStartTLS(k.Server, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // asked for by the flag
	}
	return smtp.Dial(k.Server)
}

// sendFault gives the error its exit code: 75 for what may work later.
func sendFault(err error) error {
	var se *smtp.SMTPError
	if errors.As(err, &se) {
		code := exitUnavailable
		if se.Temporary() {
			code = exitTempFail
		}
		return &codedError{code, errors.New(strings.Replace(err.Error(), se.Error(), "the server said: "+replyLine(se), 1))}
	}
	if errors.Is(err, errNoDSN) {
		return &codedError{exitUnavailable, err}
	}
	return &codedError{exitUnavailable, fmt.Errorf("%w; is a relay running there? --server names another address", err)}
}

// replyLine is the server's reply as it came.
func replyLine(e *smtp.SMTPError) string {
	if c := e.EnhancedCode; c[0] > 0 {
		return fmt.Sprintf("%d %d.%d.%d %s", e.Code, c[0], c[1], c[2], e.Message)
	}
	return fmt.Sprintf("%d %s", e.Code, e.Message)
}

// message returns the file with CRLF line ends, or a new message.
func (k sendCmd) message(in io.Reader) ([]byte, error) {
	if k.File != "" {
		b, err := os.ReadFile(k.File)
		return crlf(b), err
	}
	text := []byte(k.Text + "\n")
	if k.Text == "" {
		var err error
		if text, err = io.ReadAll(in); err != nil {
			return nil, err
		}
	}
	return k.compose(text)
}

func (k sendCmd) compose(text []byte) ([]byte, error) {
	var h message.Header
	h.SetContentType("text/plain", map[string]string{"charset": "utf-8"})
	h.Set("Content-Transfer-Encoding", "quoted-printable")
	h.Set("Mime-Version", "1.0")
	h.SetText("Subject", k.Subject)
	h.Set("To", strings.Join(k.To, ", "))
	h.Set("From", k.From)
	h.Set("Message-Id", "<"+rand.Text()+"@postroad.invalid>")
	h.Set("Date", time.Now().Format("Mon, 2 Jan 2006 15:04:05 -0700"))
	for _, line := range k.Header {
		name, value, ok := strings.Cut(line, ":")
		if !ok || strings.ContainsAny(line, "\r\n") {
			return nil, &codedError{exitUsage, fmt.Errorf("--header %q is not of the form 'Name: value'", line)}
		}
		h.Add(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	var b bytes.Buffer
	w, err := message.CreateWriter(&b, h)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(crlf(text)); err != nil {
		return nil, err
	}
	return b.Bytes(), w.Close()
}

func crlf(b []byte) []byte {
	b = bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n"))
	return bytes.ReplaceAll(b, []byte("\n"), []byte("\r\n"))
}
