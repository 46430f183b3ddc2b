// SPDX-License-Identifier: Apache-2.0

package config

import "slices"

// Lookup tells the value of a fact by its name, false when it is not known.
// Values: string for texts and client.ip, bool, int or int64 for numbers,
// sizes and scores (in thousandths), and for "message.header" a func(name string) []string.
type Lookup = func(fact string) (any, bool)

// Condition is a compiled `when`. It is safe for concurrent use.
type Condition struct {
	text  string
	facts []string
	root  *test
}

// Facts returns the names of the facts that the condition asks for, sorted,
// each once.
func (c *Condition) Facts() []string { return slices.Clone(c.facts) }

// PerRecipient reports whether the condition asks about the recipient, so that
// it has to be evaluated for each of them.
func (c *Condition) PerRecipient() bool {
	return slices.ContainsFunc(c.facts, func(f string) bool { return factTable[f].recipient })
}

// Eval decides the condition. It asks for facts from left to right and only
// for those that matter. An error means that a fact was not known or had
// another type than its name promises.
func (c *Condition) Eval(facts Lookup) (bool, error) { return c.root.eval(facts) }

// String returns the condition as it was written.
func (c *Condition) String() string { return c.text }
