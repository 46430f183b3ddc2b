// SPDX-License-Identifier: Apache-2.0

package postroad

import (
	"runtime"

	"github.com/postroad-mail/postroad/sdk/abi"
)

// registered is the module's plugin. A guest has one, and its exports are
// functions without a receiver.
var registered Plugin

// Register makes p the module's plugin. Call it from an init function.
func Register(p Plugin) { registered = p }

//go:wasmexport pr_init
func prInit() (result int64) {
	defer runtime.Gosched()
	defer func() {
		if r := recover(); r != nil {
			imports{}.Log(int(Error), "panic: "+words(r))
			result = int64(abi.ErrIO)
		}
	}()
	if registered == nil {
		imports{}.Log(int(Error), "the plugin does not call postroad.Register in an init function")
		return int64(abi.ErrUnsupported)
	}
	return Start(imports{}, registered)
}

// prOn yields to the scheduler after each hook: otherwise the collector of a
// module whose exports return directly never finishes, and memory grows without
// end.
//
//go:wasmexport pr_on
func prOn(phase, arg int32) int32 {
	defer runtime.Gosched()
	return Call(imports{}, registered, Phase(phase), int(arg))
}
