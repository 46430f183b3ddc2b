// SPDX-License-Identifier: Apache-2.0

//go:build wasip1

// guest is the Go plugin of the soak campaign. It writes into each message what
// it knows: its own generation and build, the generation that it noted when the
// transaction began, how many messages the client had before, and which was the
// last one.
package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/postroad-mail/postroad/sdk/abi"
	"github.com/postroad-mail/postroad/sdk/go"
)

// build is set by the linker.
var build = "none"

type guest struct {
	generation string
	store      postroad.Store
}

// Init reads the generation.
func (g *guest) Init(env *postroad.Env, config []byte) (postroad.Phases, error) {
	var c struct{ Generation int }
	if err := json.Unmarshal(config, &c); err != nil {
		return 0, err
	}
	g.generation = fmt.Sprint(c.Generation)
	var err error
	g.store, err = env.Store("soak")
	return postroad.In(postroad.Mail, postroad.Message), err
}

// On notes the generation at MAIL and writes the field at the end of data.
func (g *guest) On(h *postroad.Hook) (postroad.Verdict, error) {
	if h.Phase() == postroad.Mail {
		return postroad.Continue, h.SetMeta(postroad.WithMessage, "began", g.generation)
	}
	return postroad.Continue, g.write(h)
}

func (g *guest) write(h *postroad.Hook) error {
	began, err := h.Meta(postroad.WithMessage, "began")
	if err != nil {
		return err
	}
	client, err := h.Get(abi.FieldHelo)
	if err != nil {
		return err
	}
	count, err := g.store.Add("count "+client, 1, 0)
	if err != nil {
		return err
	}
	name, err := h.Header("X-Soak") // and a checksum behind it
	if err != nil {
		return err
	}
	last, _, err := g.store.Get("last " + client)
	if err != nil {
		return err
	}
	id, _, _ := strings.Cut(name, " ")
	if err := g.store.Put("last "+client, []byte(id), 0); err != nil {
		return err
	}
	_, err = h.AddHeader(postroad.End, "X-Go", fmt.Sprintf("generation=%s began=%s build=%s count=%d last=%s", g.generation, began, build, count, last))
	return err
}

func init() { postroad.Register(&guest{}) }

func main() {}
