package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/courtyard-social/courtyard/scripts/mutation"
)

// breakage is a program that breaks a promise: a few lines of its source differ.
type breakage struct {
	what, file string
	edit       mutation.Edit
}

// breakages are for scripts/chaos --broken: a run that does not notice one is no test.
var breakages = map[string]breakage{
	"accepted": {"the relay says accepted before it is on disk", "relay/internal/queue/writer.go",
		mutation.Edit{"err := w.attempt(group)", `for i := range group {
			if group[i].put != nil {
				group[i].answer(Result{})
				group[i].answer = func(Result) {}
			}
		}
		err := w.attempt(group)`}},
	"forgotten": {"the relay forgets a letter when it has been sent on, whatever the other relay says", "relay/internal/peer/passing.go",
		mutation.Edit{"l.sent = parcel.N", "l.sent = parcel.N; c.carried(ctx, parcel, false, \"\")"}},
	"confirmed": {"the home confirms before it is on disk", "homedb/internal/intake/intake.go",
		mutation.Edit{"if !i.persist(ctx, batch) {", "confirm(batch[len(batch)-1].n)\nif !i.persist(ctx, batch) {"}},
}

// overlay writes into dir what the go command needs to build a breakage, and
// returns the file to name in -overlay.
func overlay(name, dir string) (string, error) {
	b, ok := breakages[name]
	if !ok {
		return "", fmt.Errorf("broken may be: %s", strings.Join(slices.Sorted(maps.Keys(breakages)), ", "))
	}
	source, mutated, err := mutation.Rewrite(b.file, []mutation.Edit{b.edit})
	if err != nil {
		return "", err
	}
	return mutation.Overlay(dir, source, mutated)
}
