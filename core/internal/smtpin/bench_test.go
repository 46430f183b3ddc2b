// SPDX-License-Identifier: Apache-2.0

package smtpin

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"syscall"
	"testing"

	"github.com/emersion/go-smtp"

	"github.com/postroad-mail/postroad/core/mail"
)

// BenchmarkSession sends messages over kept loopback connections, to this
// package and to plain go-smtp with nothing around it. Both read each message
// with io.Copy and drop it. "steps" waits for each reply as smtp-source does,
// "pipelined" sends MAIL, RCPT and DATA at once, "bdat" sends all in one go,
// "connect" is "steps" on a new connection each.
// cpu-us/msg is user and system time of the whole process, so it holds the
// client's share too, which is the same for both.
func BenchmarkSession(b *testing.B) {
	for _, size := range []struct {
		name  string
		lines int
	}{{"5KiB", 66}, {"5MiB", 67216}} {
		body := lines(size.lines, 78)
		for _, form := range []struct {
			name string
			send func(*client, []byte)
			kept bool
		}{{"steps", sendSteps, true}, {"pipelined", sendPipelined, true}, {"bdat", sendBDAT, true}, {"connect", sendSteps, false}} {
			for _, server := range []struct {
				name  string
				serve func(testing.TB) string
			}{{"postroad", servePostroad}, {"go-smtp", serveGoSMTP}} {
				b.Run(size.name+"/"+form.name+"/"+server.name, func(b *testing.B) {
					benchmark(b, server.serve(b), form.send, form.kept, body)
				})
			}
		}
	}
}

func benchmark(b *testing.B, addr string, send func(*client, []byte), kept bool, body []byte) {
	b.SetParallelism(10) // 20 connections on two cores
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	start := cpu()
	b.RunParallel(func(pb *testing.PB) {
		c := connect(b, addr)
		for pb.Next() {
			send(c, body)
			if !kept {
				quit(c)
				c = connect(b, addr)
			}
		}
		quit(c)
	})
	b.ReportMetric(float64(cpu()-start)/1e3/float64(b.N), "cpu-us/msg")
}

func connect(b *testing.B, addr string) *client {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		b.Error(err)
		return nil
	}
	c := newClient(b, conn)
	c.expect("220")
	c.cmd("EHLO client.example", "250-")
	return c
}

func quit(c *client) {
	c.cmd("QUIT", "221")
	_ = c.c.Close()
}

// cpu returns the CPU time of the process in nanoseconds.
func cpu() int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

func sendSteps(c *client, body []byte) {
	c.cmd("MAIL FROM:<a@example.com>", "250")
	c.cmd("RCPT TO:<b@example.org>", "250")
	c.cmd("DATA", "354")
	sendBody(c, body)
}

func sendPipelined(c *client, body []byte) {
	c.send("MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n")
	c.expect("250")
	c.expect("250")
	c.expect("354")
	sendBody(c, body)
}

func sendBody(c *client, body []byte) {
	v := net.Buffers{body, []byte(".\r\n")}
	if _, err := v.WriteTo(c.c); err != nil {
		c.t.Error(err)
	}
	c.expect("250")
}

func sendBDAT(c *client, body []byte) {
	head := fmt.Appendf(nil, "MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.org>\r\nBDAT %d LAST\r\n", len(body))
	v := net.Buffers{head, body}
	if _, err := v.WriteTo(c.c); err != nil {
		c.t.Error(err)
	}
	c.expect("250")
	c.expect("250")
	c.expect("250")
}

func servePostroad(tb testing.TB) string {
	_, addr := serve(tb, Options{Backend: sink{}})
	return addr
}

func serveGoSMTP(tb testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	s := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return plainSink{}, nil }))
	s.Domain = "mx.example.org"
	s.MaxMessageBytes = 25 << 20
	s.ErrorLog = log.New(io.Discard, "", 0)
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	tb.Cleanup(func() {
		s.Close()
		<-done
	})
	return l.Addr().String()
}

// sink takes every message and drops it.
type sink struct{}

func (s sink) Open(context.Context, *mail.Client) (Session, *mail.Reply) { return visitor{}, nil }

func (sink) Rcpt(context.Context, mail.Address, RcptParams) *mail.Reply { return nil }
func (sink) Ready(context.Context) *mail.Reply                          { return nil }
func (sink) Close()                                                     {}
func (sink) Data(_ context.Context, r io.Reader) *mail.Reply {
	if _, err := io.Copy(io.Discard, r); err != nil {
		return mail.OurFault(err)
	}
	return mail.NewReply(250, mail.Enhanced{2, 0, 0}, "ok")
}

// visitor is a session with a sink.
type visitor struct{}

func (visitor) TLS(context.Context) *mail.Reply { return nil }
func (visitor) Helo(_ context.Context, list []string) ([]string, *mail.Reply) {
	return list, nil
}
func (visitor) Mail(context.Context, mail.Address, MailParams) (Transaction, *mail.Reply) {
	return sink{}, nil
}
func (visitor) Close() {}

// plainSink is sink for plain go-smtp.
type plainSink struct{}

func (plainSink) Reset()                               {}
func (plainSink) Logout() error                        { return nil }
func (plainSink) Mail(string, *smtp.MailOptions) error { return nil }
func (plainSink) Rcpt(string, *smtp.RcptOptions) error { return nil }
func (plainSink) Data(r io.Reader) error {
	_, err := io.Copy(io.Discard, r)
	return err
}

// BenchmarkScan measures the reading of content alone: framing and checks, on a
// 5 KiB message in memory.
func BenchmarkScan(b *testing.B) {
	body := lines(66, 78)
	wire := append(bytes.Clone(body), ".\r\n"...)
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		c := lineCheck{limit: 1 << 20}
		for p, bol := wire, true; ; {
			n, m := scanDots(p, bol)
			if m == markEnd {
				break
			}
			if bad := c.next(p[:n]); bad != nil {
				b.Fatal(bad)
			}
			p, bol = p[n:], true
		}
	}
}
