// SPDX-License-Identifier: Apache-2.0

//go:build wasip1

// gocommand is a command plugin by the standard Go compiler without an SDK. In
// phase helo it refuses the client by name, in phase message it tags the subject
// and notes what it has seen.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
)

type snapshot struct {
	Config struct{ Tag string } `json:"config"`
	Helo   string               `json:"helo"`
	Sender string               `json:"sender"`
	Rcpts  []struct {
		Index int    `json:"index"`
		Rcpt  string `json:"rcpt"`
	} `json:"recipients"`
	Header []struct {
		ID    int    `json:"id"`
		Name  string `json:"name"`
		Value string `json:"value"`
	} `json:"headers"`
}

type answer map[string]any

func main() {
	in := bufio.NewReader(os.Stdin)
	line, err := in.ReadBytes('\n')
	check(err)
	var s snapshot
	check(json.Unmarshal(line, &s))
	a := answer{}
	switch os.Args[1] {
	case "helo":
		a = answer{"verdict": "reject", "code": 550, "enhanced": "5.7.1", "text": s.Helo + " is not welcome"}
	case "message":
		raw, err := io.ReadAll(in)
		check(err)
		a["ops"] = s.edit(string(raw))
	}
	check(json.NewEncoder(os.Stdout).Encode(a))
}

func (s *snapshot) edit(raw string) []answer {
	var ops []answer
	for _, f := range s.Header {
		if f.Name == "Subject" {
			ops = append(ops, answer{"op": "hdr_set", "id": f.ID, "value": s.Config.Tag + " " + f.Value})
		}
	}
	_, body, _ := strings.Cut(raw, "\r\n\r\n")
	seen := fmt.Sprintf("%s from %s to %d, body of %d", os.Args[1], s.Sender, len(s.Rcpts), len(body))
	return append(ops, answer{"op": "hdr_add", "name": "X-Seen", "value": seen})
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
