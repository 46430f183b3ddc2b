// SPDX-License-Identifier: Apache-2.0

package config

// blockSpec says what a block may contain.
type blockSpec struct {
	name    string
	labels  []string // what its labels are; the last one is the block's name
	count   count
	doc     string // sentences, for the reference
	args    []argSpec
	blocks  []*blockSpec
	example string // HCL, for the reference; the tests of the documentation load it
	free    bool   // its content is checked by somebody else's schema
}

// count says how often a block may stand in its parent.
type count int

const (
	always   count = iota // once, or not at all: then every argument has its default
	optional              // once or not at all; absence means something
	many                  // any number, in an order that matters or with distinct names
)

// argSpec is one argument of a block.
type argSpec struct {
	name     string
	kind     kind
	def      string // the default as HCL; empty: none
	required bool
	doc      string // one sentence, for the reference
}

func (s *blockSpec) arg(name string) (argSpec, bool) {
	for _, a := range s.args {
		if a.name == name {
			return a, true
		}
	}
	return argSpec{}, false
}

func (s *blockSpec) block(name string) (*blockSpec, bool) {
	for _, b := range s.blocks {
		if b.name == name {
			return b, true
		}
	}
	return nil, false
}

// names returns the names of the arguments and of the blocks, in the order of
// the reference.
func (s *blockSpec) names() (args, blocks []string) {
	for _, a := range s.args {
		args = append(args, a.name)
	}
	for _, b := range s.blocks {
		blocks = append(blocks, b.name)
	}
	return args, blocks
}
