// SPDX-License-Identifier: Apache-2.0

// Package config turns the text of pipeline.hcl into checked, frozen values.
//
// [Load] and [Parse] read, evaluate, default and check a whole configuration
// and report every fault at once as [Diagnostics], each with file, line and
// column, the source line, what was expected and the nearest valid name. The
// values that come out are complete: every default is filled in, every
// reference leads to something, every `when` is compiled, every plugin's
// `config` block has passed the plugin's own schema and is JSON.
//
// The package alone knows HCL. What a block may contain stands in one table
// (blocks.go); the reference in core/docs/config.md is printed from it.
package config

import (
	"time"
)

// Config is a complete configuration. It is not changed after Load returned
// it and may be read by many goroutines.
type Config struct {
	File      string // the file's name as it was given
	Server    Server
	Admin     Admin
	Resolver  Resolver
	Listeners []Listener // in text order, as everything below
	Users     []Users
	ACME      []ACME
	Plugins   []Plugin
	Stores    []Store
	Buckets   []Bucket
	Pipelines []Pipeline
	Rules     []Rule // the last one matches every domain
	Routes    []Route
	Providers []Provider
	Sources   []Source
	Warnings  Diagnostics // what is suspicious but does not stop the load

	root *node   // the checked text, for Dump
	text *report // for places in it
}

// Server holds what the whole process needs.
type Server struct {
	Hostname     string // our name in greetings, Received and reports
	DataDir      string // absolute path
	LogFormat    string // "text" or "json"
	LogLevel     string // "trace", "debug", "info", "warn" or "error"
	DrainTimeout time.Duration
	PluginMemory int64         // octets of all instances together
	Watchdog     time.Duration // 0: off
}

// Admin is the HTTP listener for metrics and health.
type Admin struct {
	Address string // host:port; empty: no such listener
}

// Resolver says whom to ask for DNS records.
type Resolver struct {
	Servers []string // host:port each; empty: the system's
}

// Plugin is code that stages run.
type Plugin struct {
	Name      string
	Source    string // "builtin:NAME", "native:NAME", "oci:HOST/REPOSITORY@sha256:DIGEST" or the file as written
	Path      string // absolute path of the module; empty unless the source is a file
	SHA256    string // lower-case hex; empty: not pinned
	Signature string // absolute path of the module's minisign signature; empty: where it lies by default
	PublicKey string // minisign key that must have signed, as base64, or the absolute path of its file; empty: no signature is asked for
	Mode      string // "filter": a command that reads and writes raw mail; empty: as the module says
	Strict    bool   // an import outside the grant refuses the module
	Phases    []string
	Grant     Grant             // effective: wanted and granted, "*" expanded to names
	Secrets   map[string]string // value of each of Grant.Secrets
	Limits    PluginLimits
	Pos       Pos
}

// Grant is what a plugin may touch, in the one spelling of manifest and HCL.
type Grant struct {
	Read     []string      // of "envelope", "headers", "body", "auth"
	Write    []string      // of "headers", "body", "recipients", "sender", "queue", "ehlo"
	Routes   []string      // names
	NextHops []string      // patterns of host:port
	Stores   []string      // names; `kv` in manifest and HCL
	Buckets  []string      // names
	DNS      bool          // it may ask for DNS records
	HTTP     []string      // hosts that it may ask by HTTP: "host", "host:port", "*.example.org"
	DKIM     []string      // keys; of a manifest only, for none can be granted yet
	Emit     bool          // it may send new messages, up to PluginLimits.Emit
	Secrets  []string      // names
	Tick     time.Duration // how often it is called in the phase tick; 0: never; of a manifest < 0: at any interval
}

// PluginLimits is what a plugin may cost.
type PluginLimits struct {
	Memory          int64 // octets per instance
	Fuel            int64 // units per hook of a session phase
	MessageFuel     int64 // units per message hook, before the part that grows with the message
	Deadline        time.Duration
	MessageDeadline time.Duration
	Depth           int    // call depth, frames
	Instances       int    // at once
	Emit            Rate   // messages that it may send
	Isolation       string // "call", "message", "session", "fresh" or "restore"
}

// Rate is a number of events per time.
type Rate struct {
	Count int           // > 0
	Per   time.Duration // > 0
}

// Store is a key-value store that plugins can be granted.
type Store struct {
	Name   string
	Engine string        // "pebble" or "memory"
	TTL    time.Duration // 0: entries stay until deleted
	Keys   int64         // that it may have
	Size   int64         // octets of keys and values
}

// Bucket is a family of token buckets: one per key.
type Bucket struct {
	Name  string
	Rate  int           // tokens per Per
	Per   time.Duration // > 0
	Burst int           // capacity
}

// Pipeline is an ordered chain of stages.
type Pipeline struct {
	Name    string
	Capture *Capture // nil: nothing is captured
	Stages  []Stage
}

// Capture says which messages are kept as they came in, for a replay.
type Capture struct {
	Share    float64 // of the messages, 0 < Share <= 1
	Messages int     // kept at most
	Size     int64   // octets kept at most
	Keep     time.Duration
	Redact   []string // of "body", "subject", "addresses", "client"
}

// Stage is one use of a plugin in a pipeline.
type Stage struct {
	Name    string
	Plugin  string     // name of a Plugin
	When    *Condition // nil: always
	OnError string     // "tempfail", "skip", "reject" or "quarantine"
	Config  []byte     // JSON object, checked and with defaults
	Always  bool       // runs even after an accept

	Candidate *Candidate // nil: none
	Breaker   Breaker
	// Hash is the SHA-256 of the stage's block as Dump prints it, in lower-case
	// hex. Spaces, comments and other units for the same value do not change it,
	// nor do secrets, which print alike.
	Hash string
	Pos  Pos
}

// Candidate is the next version of a stage, which runs beside the live one.
type Candidate struct {
	Plugin string     // name of a Plugin
	Mode   string     // "shadow" or "canary"
	Share  float64    // of a canary: of the messages that When selects, 0 < Share <= 1
	When   *Condition // of a canary; nil: all
	Config []byte     // as Stage.Config
	Pos    Pos
}

// Breaker says when a stage that fails again and again is not called for a
// while.
type Breaker struct {
	Failures int           // in a row
	Probe    time.Duration // until the first call after that; then it doubles
}

// Rule sends the recipients of some domains to a route.
type Rule struct {
	Domains []string // lower case; ".example.org": its subdomains; empty: all
	Accept  bool     // take mail for these domains from anyone
	Route   string   // name of a Route
	Pos     Pos

	Recipients *Recipients // nil: all there may be
}

// Route is a way out.
type Route struct {
	Name      string
	Kind      string // "mx", "smarthost", "maildir" or "discard"
	Maildir   Maildir
	MX        MX
	Smarthost Smarthost
	Pipeline  string  // name of the stages that delivery passes; empty: none
	Schedule          // of mail that no class is for
	Classes   []Class // in text order
	Rate      Rate    // messages per next hop; zero: no limit
	DSN       string  // what senders are told: "off", "headers" or "full"
	Pos       Pos
}

// Schedule says when a route tries again, gives up and tells senders of a delay.
type Schedule struct {
	Retry        []time.Duration // the last one repeats
	Jitter       float64         // part by which a waiting time may become longer
	Expire       time.Duration
	DelayWarning time.Duration // when senders who did not ask hear of a delay; 0: never
}

// Class is a route's Schedule for mail of some priorities, of which each is in one
// class at most.
type Class struct {
	Name            string
	Lowest, Highest int // both included
	Schedule
	Pos Pos
}

// Maildir delivers into folders of this machine.
type Maildir struct {
	Root      string   // absolute path
	Create    bool     // make a mailbox when its first message comes
	Mailboxes []string // addresses that have a mailbox
}

// MX delivers to the hosts that DNS names for the recipient's domain.
type MX struct {
	TLS          string // "opportunistic", "required" or "off"
	Port         int
	AllowPrivate bool     // loopback and private addresses may be next hops
	Connections  int      // at once, per next hop
	Sources      []string // names of Sources, taken in turn; empty: the system chooses
}

// Smarthost delivers everything to fixed hosts, the first that answers.
type Smarthost struct {
	Hosts       []string // host:port each
	TLS         string   // as MX.TLS
	Connections int
	Sources     []string // as MX.Sources
}
