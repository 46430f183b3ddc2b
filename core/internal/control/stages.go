// SPDX-License-Identifier: Apache-2.0

package control

import "time"

// StageState is one stage of the running configuration, with its candidate.
type StageState struct {
	Pipeline        string
	Stage           string
	Plugin          string
	Code            string // "sha256:…" of the module, or "native:NAME"
	Signer          string `json:",omitempty"` // id of the minisign key whose signature of the code was checked
	Candidate       string `json:",omitempty"` // plugin; empty: the stage has none, and what follows says nothing
	CandidateCode   string `json:",omitempty"`
	CandidateSigner string `json:",omitempty"`
	Mode            string `json:",omitempty"` // shadow or canary, as pipeline.hcl says
	State           string // live: as pipeline.hcl says; promoted: the candidate is called; off: it is not
	Calls           int64  // of the candidate since this state of the block was loaded
	Differed        *int64 `json:",omitempty"` // of a shadow: those that decided differently; a canary is not compared
	Failed          int64  // those that failed
}

// StageAction is something done to the candidate of a stage.
type StageAction struct {
	Verb  string // promote, rollback, reset
	Stage string // "pipeline/stage", or the stage's name where it is unique
}

// Difference is a call in which a stage and its shadow decided differently, or
// the candidate failed.
type Difference struct {
	At        time.Time
	ID        string // of the message; empty before there is one
	Phase     string
	Mode      string // shadow or canary
	Live      Decided
	Candidate Decided
	Edits     []string `json:",omitempty"` // that only one of the two made, one line each
}

// Decided is what one of the two decided; empty when it was not called.
type Decided struct {
	Verdict string `json:",omitempty"`
	Reply   string `json:",omitempty"` // SMTP reply, when it set one
	Error   string `json:",omitempty"` // it failed
}
