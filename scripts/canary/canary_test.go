package main

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

const secret = "the plums in the icebox, 冰箱里的李子"

// packed runs text through a compressor.
func packed(t *testing.T, text string, open func(io.Writer) io.WriteCloser) []byte {
	t.Helper()
	var out bytes.Buffer
	w := open(&out)
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func ask(t *testing.T, q question) answer {
	t.Helper()
	asked, err := json.Marshal(q)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := run(bytes.NewReader(asked), &out); err != nil {
		t.Fatal(err)
	}
	var a answer
	if err := json.Unmarshal(out.Bytes(), &a); err != nil {
		t.Fatal(err)
	}
	return a
}

// Every guise, each hidden between random bytes, is found, and the same bytes without it are clean.
func TestGuises(t *testing.T) {
	long := strings.Repeat("something quite ordinary. ", 40) + secret + strings.Repeat(" and more of the same", 40)
	guises := map[string][]byte{
		"as it is":        []byte(secret),
		"hex":             []byte(hex.EncodeToString([]byte(secret))),
		"HEX":             []byte(strings.ToUpper(hex.EncodeToString([]byte(secret)))),
		"utf-16le":        utf16Bytes(secret, binary.LittleEndian),
		"utf-16be":        utf16Bytes(secret, binary.BigEndian),
		"json escapes":    []byte(`the plums in the icebox, \u51b0\u7bb1\u91cc\u7684\u674e\u5b50`),
		"percent escapes": []byte("the%20plums%20in%20the%20icebox%2C%20%E5%86%B0%E7%AE%B1%E9%87%8C%E7%9A%84%E6%9D%8E%E5%AD%90"),
		"query escapes":   []byte("the+plums+in+the+icebox%2C+%E5%86%B0%E7%AE%B1%E9%87%8C%E7%9A%84%E6%9D%8E%E5%AD%90"),
		"gzip":            packed(t, long, func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) }),
		"zlib":            packed(t, long, func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) }),
		"deflate": packed(t, long, func(w io.Writer) io.WriteCloser {
			f, err := flate.NewWriter(w, 6)
			if err != nil {
				t.Fatal(err)
			}
			return f
		}),
	}
	for _, before := range []string{"", "x", "yz"} {
		whole := before + secret + "."
		guises["base64 after "+before] = []byte(base64.StdEncoding.EncodeToString([]byte(whole)))
		guises["base64url after "+before] = []byte(base64.RawURLEncoding.EncodeToString([]byte(whole)))
	}
	for name, hidden := range guises {
		t.Run(name, func(t *testing.T) {
			noise := make([]byte, 3000)
			if _, err := rand.Read(noise); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(t.TempDir(), "disk")
			if err := os.WriteFile(path, append(append(noise[:1500:1500], hidden...), noise[1500:]...), 0o600); err != nil {
				t.Fatal(err)
			}
			if a := ask(t, question{Needles: map[string]string{"plums": secret}, Paths: []string{filepath.Dir(path)}}); len(a.Hits) == 0 {
				t.Error("not found")
			}
			if err := os.WriteFile(path, noise, 0o600); err != nil {
				t.Fatal(err)
			}
			if a := ask(t, question{Needles: map[string]string{"plums": secret}, Paths: []string{path}}); len(a.Hits) != 0 || a.Read != 3000 {
				t.Errorf("found in noise, or not all was read: %+v", a)
			}
		})
	}
}

// cat, having passed a word on, still holds it in its buffer.
func TestMemory(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the memory of a process is read through /proc, which only Linux has")
	}
	cat := exec.Command("cat")
	in, err := cat.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cat.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cat.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := errors.Join(in.Close(), cat.Wait()); err != nil {
			t.Error(err)
		}
	}()
	if _, err := io.WriteString(in, secret); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, len(secret))); err != nil {
		t.Fatal(err)
	}
	a := ask(t, question{Needles: map[string]string{"plums": secret, "pears": "the pears were never bought"}, PIDs: []int{cat.Process.Pid}})
	if len(a.Hits) != 1 || a.Hits[0].Needle != "plums" || a.Read == 0 {
		t.Errorf("in the memory of cat: %+v", a)
	}
}

func TestRefusals(t *testing.T) {
	for name, q := range map[string]string{
		"a path that is not there": `{"needles":{"a":"long enough"},"paths":["/nowhere/at/all"]}`,
		"a process that is gone":   `{"needles":{"a":"long enough"},"pids":[4194305]}`,
		"a needle of two letters":  `{"needles":{"a":"ab"}}`,
		"no question":              ``,
	} {
		if err := run(strings.NewReader(q), io.Discard); err == nil {
			t.Errorf("%s must be an error", name)
		}
	}
}
