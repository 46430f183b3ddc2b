// SPDX-License-Identifier: Apache-2.0

package queue

import "slices"

// lanes are the messages that wait, by priority, the highest first: among what
// is due it goes first. Nearly always there is one lane.
type lanes []*lane

// of returns the lane of a priority, made at its first use.
func (ls *lanes) of(priority int8) *lane {
	at, ok := slices.BinarySearchFunc(*ls, priority, func(l *lane, p int8) int { return int(p) - int(l.priority) })
	if !ok {
		*ls = slices.Insert(*ls, at, &lane{priority: priority})
	}
	return (*ls)[at]
}

// first returns the message that goes first of those that are due at now, nil
// if there is none.
func (ls lanes) first(now int64) *entry {
	for _, l := range ls {
		if len(l.heap) > 0 && l.heap[0].dueAt <= now {
			return l.heap[0]
		}
	}
	return nil
}

// next returns when the next message is due, never if there is none.
func (ls lanes) next() int64 {
	at := int64(never)
	for _, l := range ls {
		if len(l.heap) > 0 {
			at = min(at, l.heap[0].dueAt)
		}
	}
	return at
}

// lane is the messages of one priority, a heap.Interface: the message that is
// due first is on top.
type lane struct {
	priority int8
	heap     []*entry
}

// Len implements heap.Interface.
func (h *lane) Len() int { return len(h.heap) }

// Less implements heap.Interface.
func (h *lane) Less(i, j int) bool {
	a, b := h.heap[i], h.heap[j]
	if a.dueAt != b.dueAt {
		return a.dueAt < b.dueAt
	}
	return a.id < b.id
}

// Swap implements heap.Interface.
func (h *lane) Swap(i, j int) {
	h.heap[i], h.heap[j] = h.heap[j], h.heap[i]
	h.heap[i].at, h.heap[j].at = i, j
}

// Push implements heap.Interface.
func (h *lane) Push(x any) {
	e := x.(*entry)
	e.at = len(h.heap)
	h.heap = append(h.heap, e)
}

// Pop implements heap.Interface.
func (h *lane) Pop() any {
	last := len(h.heap) - 1
	e := h.heap[last]
	h.heap[last] = nil
	h.heap = h.heap[:last]
	e.at = -1
	return e
}
