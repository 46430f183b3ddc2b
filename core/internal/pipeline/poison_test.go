// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"encoding/binary"
	"testing"
)

func TestPoisonCounts(t *testing.T) {
	p := NewPoison()
	for want := 1; want <= 4; want++ {
		if got := p.failed(digest{1}); got != want {
			t.Errorf("failure %d counts as %d", want, got)
		}
	}
	if got := p.failed(digest{2}); got != 1 {
		t.Errorf("another message counts as %d", got)
	}
}

func TestPoisonIsBounded(t *testing.T) {
	p := NewPoison()
	for i := range maxPoison + 1000 {
		var d digest
		binary.LittleEndian.PutUint64(d[:], uint64(i))
		p.failed(d)
	}
	if len(p.seen) != maxPoison || len(p.order) != maxPoison {
		t.Errorf("%d remembered, %d in order", len(p.seen), len(p.order))
	}
	var first, last digest
	binary.LittleEndian.PutUint64(last[:], maxPoison+999)
	if p.failed(last) != 2 || p.failed(first) != 1 {
		t.Error("the oldest did not go first")
	}
}
