package main

import (
	"fmt"
	"io"
)

// verdict counts what was looked at.
type verdict struct {
	out            io.Writer
	passed, failed int
}

// equal holds what was seen against what must be.
func (v *verdict) equal(what string, got, want any) {
	if got == want {
		v.passed++
		fmt.Fprintf(v.out, "ok       %s: %v\n", what, got)
		return
	}
	v.failed++
	fmt.Fprintf(v.out, "FAILED   %s: %v, want %v\n", what, got, want)
}
