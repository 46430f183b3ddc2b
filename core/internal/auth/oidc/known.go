// SPDX-License-Identifier: Apache-2.0

package oidc

import "sync"

// Known remembers what providers said last, for directories that come after this
// one: with a provider that is down, a reload shuts nobody out. It is used by many
// directories at once.
type Known struct {
	mu       sync.Mutex
	byIssuer map[string]*metadata
}

// NewKnown returns an empty memory.
func NewKnown() *Known { return &Known{byIssuer: map[string]*metadata{}} }

func (k *Known) get(issuer string) *metadata {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.byIssuer[issuer]
}

func (k *Known) put(issuer string, m *metadata) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.byIssuer[issuer] = m
}
