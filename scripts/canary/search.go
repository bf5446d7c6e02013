package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// search looks for all patterns in everything it is given. Not for concurrent use.
type search struct {
	patterns []pattern
	longest  int // bytes of the longest pattern
	read     int64
	hits     []hit
	inflate  inflater
}

func newSearch(patterns []pattern) *search {
	s := &search{patterns: patterns, hits: []hit{}}
	for _, p := range patterns {
		s.longest = max(s.longest, len(p.bytes))
	}
	return s
}

// bytesAt looks through one piece; every pattern is reported once per place.
func (s *search) bytesAt(place string, at int64, piece []byte) {
	for _, p := range s.patterns {
		if i := bytes.Index(piece, p.bytes); i >= 0 {
			s.found(p, place, at+int64(i))
		}
	}
}

func (s *search) found(p pattern, place string, offset int64) {
	for _, h := range s.hits {
		if h.Needle == p.needle && h.Guise == p.guise && h.Place == place {
			return
		}
	}
	s.hits = append(s.hits, hit{p.needle, p.guise, place, offset})
}

// tree looks through a file, or every file below a directory. A database that is being written to may drop a
// file (its journal) between listing and reading; that one alone may be missing.
func (s *search) tree(root string) error {
	if _, err := os.Stat(root); err != nil {
		return err
	}
	return filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		s.bytesAt("the name of "+path, 0, []byte(path))
		if !entry.Type().IsRegular() {
			return nil
		}
		whole, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		s.read += int64(len(whole))
		s.bytesAt(path, 0, whole)
		s.compressed(path, 0, whole, true)
		return nil
	})
}

// memory looks through everything a process can read of its own.
func (s *search) memory(pid int) error {
	maps, err := os.Open(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return err
	}
	defer maps.Close()
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		return err
	}
	defer mem.Close()
	before := s.read
	lines := bufio.NewScanner(maps)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 5 || fields[1][0] != 'r' || (len(fields) > 5 && strings.HasPrefix(fields[5], "[v")) {
			continue // not readable, or the kernel's own pages
		}
		from, to, _ := strings.Cut(fields[0], "-")
		start, err1 := strconv.ParseInt(from, 16, 64)
		end, err2 := strconv.ParseInt(to, 16, 64)
		if err := errors.Join(err1, err2); err != nil {
			continue // above what an offset can hold: the kernel's
		}
		if err := s.region(mem, fmt.Sprintf("memory of %d", pid), start, end); err != nil {
			return err
		}
	}
	if s.read == before {
		return fmt.Errorf("no memory of process %d could be read", pid)
	}
	return lines.Err()
}

const window = 4 << 20

// region reads one mapping in windows that overlap by a pattern's length.
func (s *search) region(mem io.ReaderAt, place string, start, end int64) error {
	piece := make([]byte, window)
	for at := start; at < end; {
		n, err := mem.ReadAt(piece[:min(window, end-at)], at)
		s.read += int64(n)
		s.bytesAt(place, at, piece[:n])
		s.compressed(place, at, piece[:n], false)
		if err != nil || n == 0 {
			return nil // unmapped meanwhile: nothing is there any more
		}
		if at+int64(n) >= end {
			break
		}
		at += int64(n) - int64(s.longest)
	}
	return nil
}
