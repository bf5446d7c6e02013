//go:build !race

package batch

// idleMost bounds an idle socket's memory.
const idleMost = 6 << 10
