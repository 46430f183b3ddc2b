// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"time"
)

// freeAddress returns a loopback address on which nothing listens. It is taken
// from below the ports that systems give to outgoing connections, so that no
// such connection has it a moment later.
func freeAddress() (string, error) {
	for range 1000 {
		addr := fmt.Sprintf("127.0.0.1:%d", 20000+rand.IntN(12000))
		if l, err := net.Listen("tcp", addr); err == nil {
			return addr, l.Close()
		}
	}
	return "", errors.New("no free port between 20000 and 32000 on 127.0.0.1")
}

// waitGreeting waits until the server p answers at addr with 220.
func waitGreeting(ctx context.Context, p *process, addr string) error {
	return p.await(ctx, "does not answer at "+addr, func() bool { return greets(addr) })
}

func greets(addr string) bool {
	c, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return false
	}
	defer c.Close()
	if c.SetDeadline(time.Now().Add(10*time.Second)) != nil {
		return false
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		return false
	}
	_, _ = c.Write([]byte("QUIT\r\n")) // politeness
	return line[:min(3, len(line))] == "220"
}
