// SPDX-License-Identifier: Apache-2.0

// Package smtpin is the front door: SMTP sessions (RFC 5321) on
// emersion/go-smtp, behind a thin wire layer of ours. It hands envelopes and
// message streams to a Backend and knows nothing of stages, queues or files.
//
// # The form of the layer
//
// go-smtp is held like the filling of a sandwich. One type, session, is what
// go-smtp sees on both sides: below it is the net.Conn that go-smtp reads
// commands from, above it is the smtp.Session that go-smtp calls. All of it
// runs on the one goroutine that go-smtp starts per connection.
//
//		socket [- TLS] - session.Read - go-smtp - session.Mail/Rcpt/Data - Backend
//
//	  - Read takes one strict line off the wire, checks it, and answers at once
//	    what go-smtp cannot (STARTTLS, BDAT, VRFY, HELP, faults of syntax, order
//	    and limits). Only a sound command in the right order goes on to go-smtp,
//	    and in a canonical form: the addresses and parameters stay with the
//	    session, because go-smtp's parser drops the quotes of a local part.
//	    One command per Read keeps go-smtp's own buffer empty.
//	  - DATA: session.Data leaves go-smtp's reader alone and takes the message
//	    in runs straight out of the read buffer, then pushes ".CRLF" back for
//	    go-smtp to see the end it waits for.
//	  - BDAT: go-smtp is told DATA. The chunks are followed in the same place by
//	    the same goroutine; go-smtp would need a pipe and a second one.
//	  - Write drops what go-smtp says where the session has spoken, so each reply
//	    is made by our own mapping and internal text has no way out. Replies are
//	    collected and sent when the next input has to be waited for, which is
//	    where RFC 2920 wants them.
//	  - The Backend's refusals before the banner, after TLS and before 354 are
//	    places that go-smtp has not, and the EHLO list is ours: offer.go holds a
//	    client to what it was shown.
//	  - LMTP: go-smtp is told EHLO for LHLO and hears of one outcome; the session
//	    gives a reply for each recipient (lmtp.go).
//	  - Who the client is may be said by a PROXY header, which is read in front of
//	    all else on the session's goroutine (proxy.go), or by XCLIENT, behind which
//	    go-smtp sees another EHLO and the Backend another session (xclient.go).
//	  - STARTTLS swaps the connection below the session. The layer sits above
//	    TLS, so it sees plaintext on both kinds of connection.
//
// Why this form: go-smtp has no hook for the banner, the EHLO list, a refusal
// before 354, nested MAIL, unknown parameters or VRFY; it accepts a bare LF as
// a line end and reads DATA an octet at a time. With this form what is left of
// the time is system calls (72 % of the samples of a profile), so a fork or a
// server of our own would buy next to nothing, and the library keeps what it
// does well and will be needed for: the accept loop with its back-off, the life
// of a session, the order of a transaction as a second opinion, and AUTH to come.
//
// Measured with BenchmarkSession, 20 kept connections over loopback, on two
// busy cores of an AMD EPYC, Go 1.26.8: medians of six runs (5 KiB) and three
// runs (5 MiB); CPU time of server and client together:
//
//	                                this package   plain go-smtp
//	5 KiB, a reply awaited per step      99 µs          136 µs
//	5 KiB, MAIL RCPT DATA at once        50 µs          104 µs
//	5 KiB, all at once by BDAT           46 µs           63 µs
//	5 MiB by DATA                       6.5 ms           50 ms
//	5 MiB by BDAT                       4.1 ms          4.3 ms
//
// # What is refused, and how
//
// A command line ends in CRLF. A bare CR or LF or a line above the limit is
// answered with 500 and ends the connection, as nobody can say where the next
// command starts. In message content only CRLF.CRLF is the end; content with a
// bare CR or LF, or a line above Limits.LineLength, is read to its end and
// answered with 554 5.6.0. NUL is content like any other octet, but never part
// of a command. With BODY=BINARYMIME (RFC 3030) all this holds up to the empty line
// behind the header section, and what follows is not looked at: it can only come by
// BDAT, which has no end to forge. A BDAT whose size cannot be read ends the connection.
//
// A fault of ours is 451 4.3.0 or, after a panic, 421 4.3.0; never 5xx.
//
// Times are wall-clock times of the socket; there is no fake clock here.
package smtpin
