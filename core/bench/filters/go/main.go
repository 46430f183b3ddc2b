// SPDX-License-Identifier: Apache-2.0

//go:build wasip1

// words: the job of core/bench/filters in Go, with the SDK and the standard
// library's map and sort.
package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/postroad-mail/postroad/sdk/go"
)

const (
	maxWords = 200
	shortest = 3
	longest  = 24
	shown    = 5
)

// words is the plugin; job is nothing, add, subject or scan.
type words struct{ job string }

func (w *words) Init(_ *postroad.Env, config []byte) (postroad.Phases, error) {
	var c struct{ Job string }
	if err := json.Unmarshal(config, &c); err != nil {
		return 0, err
	}
	if !slices.Contains([]string{"nothing", "add", "subject", "scan"}, c.Job) {
		return 0, errors.New("job is nothing, add, subject or scan")
	}
	w.job = c.Job
	return postroad.In(postroad.Message), nil
}

func (w *words) On(h *postroad.Hook) (postroad.Verdict, error) {
	var err error
	switch w.job {
	case "add":
		_, err = h.AddHeader(postroad.End, "X-Filter", "seen")
	case "subject":
		err = subject(h)
	case "scan":
		err = scan(h)
	}
	return postroad.Continue, err
}

func subject(h *postroad.Hook) error {
	id, ok, err := h.FindHeader("Subject", postroad.None)
	if err != nil || !ok {
		return err
	}
	value, err := h.Header("Subject")
	if err != nil {
		return err
	}
	return h.SetHeader(id, "[list] "+value)
}

// scan reads the whole message, collects words and reports the most frequent.
func scan(h *postroad.Hook) error {
	mail, err := io.ReadAll(h.Reader(postroad.WholeMessage))
	if err != nil {
		return err
	}
	fields, body := header(mail)
	other := 0
	for i, c := range body {
		if c >= 0x80 {
			other++
		}
		if c-'A' < 26 {
			body[i] = c | 0x20
		}
	}
	_, err = h.AddHeader(postroad.End, "X-Words", report(fields, other, collect(body)))
	return err
}

// header counts the header's fields and returns the body.
func header(mail []byte) (fields int, body []byte) {
	for len(mail) > 0 {
		line, rest, _ := bytes.Cut(mail, []byte("\n"))
		line = bytes.TrimSuffix(line, []byte("\r"))
		if len(line) == 0 {
			return fields, rest
		}
		if line[0] != ' ' && line[0] != '\t' && bytes.IndexByte(line, ':') >= 0 {
			fields++
		}
		mail = rest
	}
	return fields, nil
}

func collect(body []byte) map[string]int {
	known := map[string]int{}
	for word := range bytes.FieldsFuncSeq(body, func(r rune) bool { return r < 'a' || r > 'z' }) {
		if len(word) < shortest || len(word) > longest {
			continue
		}
		if n, ok := known[string(word)]; ok || len(known) < maxWords {
			known[string(word)] = n + 1
		}
	}
	return known
}

func report(fields, other int, known map[string]int) string {
	type entry struct {
		word string
		n    int
	}
	list := make([]entry, 0, len(known))
	for word, n := range known {
		list = append(list, entry{word, n})
	}
	slices.SortFunc(list, func(a, b entry) int { return cmp.Or(b.n-a.n, strings.Compare(a.word, b.word)) })
	line := fmt.Sprintf("fields=%d other=%d words=%d", fields, other, len(list))
	for _, e := range list[:min(shown, len(list))] {
		line += fmt.Sprintf(" %s=%d", e.word, e.n)
	}
	return line
}

func init() { postroad.Register(&words{}) }

func main() {}
