// SPDX-License-Identifier: Apache-2.0

//go:build race

package soak

// raced: the race detector keeps memory of its own for all that was ever touched.
const raced = true
