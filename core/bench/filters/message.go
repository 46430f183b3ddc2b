// SPDX-License-Identifier: Apache-2.0

package filters

import (
	"bytes"
	"cmp"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
)

// Message returns a mail of about so many octets, the same one every time: a
// header section as a relay sees it, and text of some hundred words of which few
// are frequent, with capitals, punctuation, UTF-8 and lines of about 70 octets.
func Message(size int) []byte {
	var b bytes.Buffer
	b.WriteString(header)
	rnd := rand.New(rand.NewPCG(5, 200))
	words := vocabulary(rnd)
	for line := 0; b.Len() < size; {
		w := words[min(rnd.IntN(len(words)), rnd.IntN(len(words)), rnd.IntN(len(words)))]
		if rnd.IntN(9) == 0 {
			w = strings.ToUpper(w[:1]) + w[1:]
		}
		line += len(w) + 1
		b.WriteString(w + separator(rnd, &line))
	}
	b.WriteString("\r\n")
	return b.Bytes()
}

func separator(rnd *rand.Rand, line *int) string {
	switch {
	case *line > 70:
		*line = 0
		return "\r\n"
	case rnd.IntN(12) == 0:
		return []string{", ", ". ", " – ", " 42 ", " ü "}[rnd.IntN(5)]
	}
	return " "
}

// vocabulary makes words of two to five syllables.
func vocabulary(rnd *rand.Rand) []string {
	words := make([]string, 400)
	for i := range words {
		for range 2 + rnd.IntN(4) {
			words[i] += string("bdfgklmnprstvz"[rnd.IntN(14)]) + string("aeiou"[rnd.IntN(5)])
		}
	}
	return words
}

const header = "Received: from client.example.org (client.example.org [192.0.2.1])\r\n" +
	"\tby relay.example.net (Postroad) with ESMTPS id 01J9Z0\r\n" +
	"\tfor <bob@example.test>; Sun, 22 Nov 2026 06:00:00 +0000\r\n" +
	"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.org;\r\n" +
	"\ts=mail; h=from:to:subject:date; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=;\r\n" +
	"\tb=dzdVyOfAKCdLXdJOc9G2q8LoXSlEniSbav+yuU4zGeeruD00lszZVoG4ZHRNiYzR\r\n" +
	"From: Ann <ann@example.org>\r\nTo: Bob <bob@example.test>\r\n" +
	"Subject: The figures of the third quarter\r\nDate: Sun, 22 Nov 2026 06:00:00 +0000\r\n" +
	"Message-ID: <1@example.org>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n" +
	"Content-Transfer-Encoding: 8bit\r\nList-Id: <list.example.org>\r\n" +
	"List-Unsubscribe: <https://example.org/leave>\r\nX-Mailer: example 1.0\r\n\r\n"

// Report returns what a guest with the job "scan" has to say of a message.
func Report(mail []byte) string {
	head, body, _ := bytes.Cut(mail, []byte("\r\n\r\n"))
	fields := len(regexp.MustCompile(`(?m)^[^ \t\r\n][^\r\n]*:`).FindAll(head, -1))
	other := 0
	for _, c := range body {
		other += int(c >> 7)
	}
	known := map[string]int{}
	var list []string
	for _, w := range regexp.MustCompile(`[a-z]+`).FindAllString(strings.ToLower(string(body)), -1) {
		if known[w] == 0 && (len(w) < 3 || len(w) > 24 || len(list) == 200) {
			continue
		}
		if known[w]++; known[w] == 1 {
			list = append(list, w)
		}
	}
	slices.SortFunc(list, func(a, b string) int { return cmp.Or(known[b]-known[a], strings.Compare(a, b)) })
	line := fmt.Sprintf("fields=%d other=%d words=%d", fields, other, len(list))
	for _, w := range list[:min(5, len(list))] {
		line += fmt.Sprintf(" %s=%d", w, known[w])
	}
	return line
}
