// SPDX-License-Identifier: Apache-2.0

// Package plugins holds the first-party plugins as compiled WebAssembly
// modules: filter, rewrite, route and ratelimit. Their sources, in Rust, are in
// the folders beside this file, each with a README, fixtures and the built
// module; lock.json says what the modules were built from.
//
//	go run ./plugins/build     compiles them anew (needs rustc)
package plugins

import _ "embed"

//go:embed filter/filter.wasm
var filter []byte

//go:embed ratelimit/ratelimit.wasm
var ratelimit []byte

//go:embed rewrite/rewrite.wasm
var rewrite []byte

//go:embed route/route.wasm
var route []byte

// Builtin returns the module of a first-party plugin by the name that
// "builtin:NAME" has in pipeline.hcl. The octets must not be changed.
func Builtin(name string) (module []byte, ok bool) {
	switch name {
	case "filter":
		return filter, true
	case "ratelimit":
		return ratelimit, true
	case "rewrite":
		return rewrite, true
	case "route":
		return route, true
	}
	return nil, false
}

// Names returns the names of the first-party plugins in alphabetical order.
func Names() []string { return []string{"filter", "ratelimit", "rewrite", "route"} }
