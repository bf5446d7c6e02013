//go:build race

package batch

// idleMost bounds an idle socket's memory; the race detector keeps notes of its own.
const idleMost = 24 << 10
