package files

import "testing"

// FuzzRange: whatever a Range header says, what is served lies in the file.
func FuzzRange(f *testing.F) {
	for _, seed := range []string{"bytes=0-", "bytes=-1", "bytes=5-9", "bytes=9-5", "bytes=18446744073709551615-", "bytes=-9223372036854775808", "bytes=1-2,3-4", "x", ""} {
		f.Add(seed, int64(10))
	}
	f.Fuzz(func(t *testing.T, header string, size int64) {
		if size < 1 || size > MaxSize {
			return
		}
		from, to, partial, ok := span(header, size)
		if !ok {
			return
		}
		if from < 0 || to > size || from >= to || !partial && (from != 0 || to != size) {
			t.Fatalf("%q of %d: %d to %d, partial %v", header, size, from, to, partial)
		}
	})
}
