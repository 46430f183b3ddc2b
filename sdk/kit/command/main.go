// SPDX-License-Identifier: Apache-2.0

//go:build wasip1

// The conformance command: it writes down what it reads, and answers as its
// configuration says. command_test.go says what must come of it.
package main

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
)

// input is what it looks at of its first line.
type input struct {
	Phase  string
	Config struct {
		Answers  map[string]json.RawMessage // by phase
		Messages map[string]string          // what follows an answer
	}
}

func main() {
	line, err := bufio.NewReaderSize(os.Stdin, 1<<20).ReadBytes('\n')
	var in input
	if err == nil {
		err = json.Unmarshal(line, &in)
	}
	if err != nil || len(os.Args) < 2 || os.Args[1] != in.Phase {
		fmt.Fprintln(os.Stderr, "arguments", os.Args, "line", string(line), err)
		os.Exit(1)
	}
	say(in.Phase, base64.StdEncoding.EncodeToString(line))
	os.Stdout.Write(append(in.Config.Answers[in.Phase], '\n'))
	os.Stdout.WriteString(in.Config.Messages[in.Phase])
}

// say writes text to the log, in pieces that fit into its lines.
func say(phase, text string) {
	for len(text) > 0 {
		n := min(len(text), 800)
		fmt.Fprintln(os.Stderr, "kit", phase, text[:n])
		text = text[n:]
	}
}
