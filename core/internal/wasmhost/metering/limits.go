// SPDX-License-Identifier: Apache-2.0

package metering

// Limits on counts. They are of the order of what browsers accept
// (WebAssembly JavaScript Interface, "Implementation-defined Limits"), where an
// engine allocates by the count before it reads the entries.
const (
	maxTypes        = 100_000
	maxParams       = 1000
	maxResults      = 1000
	maxImports      = 10_000
	maxFunctions    = 300_000
	maxTables       = 64
	maxGlobals      = 100_000
	maxExports      = 100_000
	maxSegments     = 100_000
	maxElements     = 200_000
	maxLocals       = 50_000
	maxModuleLocals = 5_000_000
	maxBody         = 8 << 20
	maxLabels       = 65_520
	maxNesting      = 100_000
	maxName         = 100_000
)
