// SPDX-License-Identifier: Apache-2.0

//go:build wasip1

// A Postroad plugin without an SDK: a command that reads one line of JSON from
// standard input and answers with one on standard output. It refuses mail
// without a Subject and tags the rest.
package main

import (
	"encoding/json"
	"os"
	"strings"
)

type input struct {
	Headers []struct{ Name, Value string }
}

type op struct {
	Op    string `json:"op"`
	Name  string `json:"name"`
	Value string `json:"value"`
}

type output struct {
	Verdict string `json:"verdict"`
	Code    int    `json:"code,omitempty"`
	Text    string `json:"text,omitempty"`
	Ops     []op   `json:"ops,omitempty"`
}

func main() {
	var in input
	if err := json.NewDecoder(os.Stdin).Decode(&in); err != nil {
		os.Stderr.WriteString(err.Error()) // it goes to the log
		os.Exit(75)                        // tempfail
	}
	json.NewEncoder(os.Stdout).Encode(decide(&in))
}

func decide(in *input) output {
	for _, f := range in.Headers {
		if strings.EqualFold(f.Name, "Subject") {
			return output{Verdict: "continue", Ops: []op{{"hdr_add", "X-Subject-Was", f.Value}}}
		}
	}
	return output{Verdict: "reject", Code: 550, Text: "a Subject is wanted here"}
}
