// SPDX-License-Identifier: Apache-2.0

package config

// Options says where a configuration gets what its text does not hold.
type Options struct {
	// Env looks up an environment variable; nil: the process's.
	Env func(name string) (string, bool)
	// Manifest reads what a plugin says about itself; an error's text becomes
	// the diagnostic. Not called for native plugins. nil: nothing that depends
	// on manifests is checked.
	Manifest func(p Plugin) (Manifest, error)
	// ReadFile reads the file of a secret; nil: os.ReadFile.
	ReadFile func(path string) ([]byte, error)
}

// Manifest is what a plugin says about itself.
type Manifest struct {
	Phases []string // of "mail", "rcpt", "message"
	Wants  Grant    // "*" in a list of names: any
	Schema []byte   // JSON Schema (the subset of sdk/abi) of its config block; empty: no config
}
