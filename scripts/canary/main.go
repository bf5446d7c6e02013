// Command canary looks for words that must not be there: in files, whole directories, and the memory of a
// running process, as they are and in every guise they might have put on (base64 at all three alignments,
// UTF-16, hex, JSON and percent escapes, gzip, zlib, deflate). It must never report less than it read: what it
// cannot read is an error, not an absence.
//
//	canary < question.json > answer.json
//
// The question is {"needles":{name: text}, "bytes":{name: base64url}, "paths":[…], "pids":[…]}, the answer
// {"read": bytes looked at, "hits":[{"needle","guise","place","offset"}]}.
package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
)

type question struct {
	Needles map[string]string `json:"needles"`
	Bytes   map[string]string `json:"bytes"`
	Paths   []string          `json:"paths"`
	PIDs    []int             `json:"pids"`
}

type answer struct {
	Read int64 `json:"read"`
	Hits []hit `json:"hits"`
}

// hit is one place where a needle was found.
type hit struct {
	Needle string `json:"needle"`
	Guise  string `json:"guise"`
	Place  string `json:"place"`
	Offset int64  `json:"offset"`
}

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "canary:", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer) error {
	var q question
	if err := json.NewDecoder(in).Decode(&q); err != nil {
		return fmt.Errorf("the question: %w", err)
	}
	var patterns []pattern
	for name, text := range q.Needles {
		patterns = append(patterns, textPatterns(name, text)...)
	}
	for name, encoded := range q.Bytes {
		raw, err := base64.RawURLEncoding.DecodeString(encoded)
		if err != nil {
			return fmt.Errorf("the bytes of %s: %w", name, err)
		}
		patterns = append(patterns, bytePatterns(name, raw)...)
	}
	for _, p := range patterns {
		if len(p.bytes) < 6 {
			return fmt.Errorf("%s is too short to be looked for: chance would find it", p.needle)
		}
	}
	s := newSearch(patterns)
	for _, path := range q.Paths {
		if err := s.tree(path); err != nil {
			return err
		}
	}
	for _, pid := range q.PIDs {
		if err := s.memory(pid); err != nil {
			return err
		}
	}
	return json.NewEncoder(out).Encode(answer{Read: s.read, Hits: s.hits})
}
