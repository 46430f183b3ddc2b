// SPDX-License-Identifier: Apache-2.0

package metering

// Limits on counts. They are of the order of what browsers accept
// (WebAssembly JavaScript Interface, "Implementation-defined Limits"), where an
// engine allocates by the count before it reads the entries.
const (
	maxTypes        = 100_000
	maxParams       = 1000
	maxResults      = 100
	maxBlockParams  = 32
	maxImports      = 10_000
	maxFunctions    = 300_000
	maxTables       = 64
	maxGlobals      = 100_000
	maxExports      = 100_000
	maxSegments     = 100_000
	maxElements     = 200_000
	maxLocals       = 50_000
	maxModuleLocals = 2_000_000
	maxBody         = 512 << 10
	maxCode         = 16 << 20
	maxCalls        = 2_000_000
	maxLabels       = 65_520
	maxNesting      = 100_000
	maxName         = 100_000
)

// Limits of one function, where an engine's time or memory grows faster than the
// function: see effort.
const (
	maxBlocks      = 20_000
	maxTargets     = 50_000
	maxValues      = 1_000_000
	maxLoopBlocks  = 10_000_000
	maxLoopLocals  = 400_000
	maxBlockLocals = 4_000_000
)
