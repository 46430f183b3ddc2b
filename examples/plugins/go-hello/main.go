// SPDX-License-Identifier: Apache-2.0

//go:build wasip1

// A Postroad plugin in Go: it greets in every message.
package main

import "github.com/postroad-mail/postroad/sdk/go"

func init() {
	postroad.Register(postroad.OnMessage(func(h *postroad.Hook) (postroad.Verdict, error) {
		_, err := h.AddHeader(postroad.Top, "X-Hello", "from Go")
		return postroad.Continue, err
	}))
}

func main() {}
