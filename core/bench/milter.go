// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
)

// What of the milter protocol (sendmail's libmilter, version 6) the cheapest
// useful filter needs: it is asked at the end of the message alone and adds one
// header field.
const (
	milterNegotiate = 'O'
	milterMacros    = 'D' // no answer is wanted
	milterAbort     = 'A' // no answer is wanted
	milterQuit      = 'Q'
	milterEnd       = 'E'
	milterAddHeader = 'h'
	milterContinue  = 'c'

	milterVersion    = 6
	actionAddHeader  = 0x01
	skipAllButTheEnd = 0x3ff // no connect, helo, mail, rcpt, body, headers, eoh, header replies, unknown, data
	milterLargest    = 1 << 20
)

// milterProcess serves a milter on the unix socket args[0] until in ends, after
// writing a line to out.
func milterProcess(_ context.Context, args []string, in io.Reader, out io.Writer) error {
	if len(args) != 1 {
		return errors.New("milter needs the path of its socket")
	}
	l, err := net.Listen("unix", args[0])
	if err != nil {
		return err
	}
	served := make(chan error, 1)
	go func() { served <- serveMilter(l) }()
	fmt.Fprintln(out, "ready")
	_, err = io.Copy(io.Discard, in)
	l.Close()
	<-served //nolint:errcheck // it ended because the listener was closed
	return err
}

func serveMilter(l net.Listener) error {
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			_ = milterSession(c) // the client's end shows in its own log
		}()
	}
}

// milterSession answers one connection of the mail server until it says quit.
func milterSession(c io.ReadWriter) error {
	in := bufio.NewReader(c)
	for {
		command, data, err := readPacket(in)
		if err != nil || command == milterQuit {
			return err
		}
		answer, err := milterAnswer(command, data)
		if err != nil {
			return err
		}
		if len(answer) == 0 {
			continue
		}
		if _, err := c.Write(answer); err != nil {
			return err
		}
	}
}

// milterAnswer returns the packets that answer one, none for some.
func milterAnswer(command byte, data []byte) ([]byte, error) {
	switch command {
	case milterNegotiate:
		return negotiate(data)
	case milterMacros, milterAbort:
		return nil, nil
	case milterEnd:
		return appendPacket(appendPacket(nil, milterAddHeader, []byte("X-Milter\x00seen\x00")), milterContinue, nil), nil
	default:
		return appendPacket(nil, milterContinue, nil), nil
	}
}

// negotiate asks for as little as the server (version, actions, steps that may
// be skipped; 32 bits each) lets us.
func negotiate(data []byte) ([]byte, error) {
	if len(data) < 12 {
		return nil, fmt.Errorf("milter: a negotiation of %d octets", len(data))
	}
	offered := binary.BigEndian.Uint32(data[8:])
	reply := binary.BigEndian.AppendUint32(nil, min(milterVersion, binary.BigEndian.Uint32(data)))
	reply = binary.BigEndian.AppendUint32(reply, actionAddHeader)
	reply = binary.BigEndian.AppendUint32(reply, offered&skipAllButTheEnd)
	return appendPacket(nil, milterNegotiate, reply), nil
}

// readPacket reads length (32 bits, of what follows), command and data.
func readPacket(in io.Reader) (command byte, data []byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return 0, nil, err
	}
	length := binary.BigEndian.Uint32(head[:])
	if length < 1 || length > milterLargest {
		return 0, nil, fmt.Errorf("milter: a packet of %d octets", length)
	}
	data = make([]byte, length-1)
	_, err = io.ReadFull(in, data)
	return head[4], data, err
}

func appendPacket(b []byte, command byte, data []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(data)+1))
	return append(append(b, command), data...)
}
