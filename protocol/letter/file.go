package letter

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"

	"golang.org/x/crypto/nacl/secretbox"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/message"
)

// ChunkSize is how much plaintext one sealed chunk carries; the last may carry less.
const ChunkSize = 64 << 10

const sealedChunk = ChunkSize + secretbox.Overhead

// ErrFile is the cause when a sealed file is damaged, cut short or another one.
var ErrFile = errors.New("file cannot be opened")

// SealedSize is the length of a sealed file of size bytes of plaintext.
func SealedSize(size int64) int64 {
	chunks := max(1, (size+ChunkSize-1)/ChunkSize)
	return size + chunks*secretbox.Overhead
}

func fileNonce(id protocol.ID, i int, last bool) *[24]byte {
	var n [24]byte
	copy(n[:], id[:])
	binary.BigEndian.PutUint32(n[16:], uint32(i))
	if last {
		n[23] = 1
	}
	return &n
}

// SealFile reads all of src, at most 20 MiB, and writes the sealed chunks to
// dst as it goes, holding two chunks in memory. The result goes into a message
// body; mediaType is "image/jpeg" and the like. An empty file is one empty chunk.
func SealFile(random io.Reader, dst io.Writer, src io.Reader, mediaType string) (message.File, error) {
	const op = "letter.SealFile"
	id, err := protocol.NewID(random)
	if err != nil {
		return message.File{}, err
	}
	key, err := protocol.NewSecret(random, 32)
	if err != nil {
		return message.File{}, err
	}
	secret := [32]byte(key.Expose())
	sum := sha256.New()
	var size int64
	chunk, next := make([]byte, ChunkSize), make([]byte, ChunkSize)
	n, err := readChunk(src, chunk)
	for i := 0; ; i++ {
		if err != nil {
			return message.File{}, err
		}
		var m int
		if n == ChunkSize { // only then there may be more
			m, err = readChunk(src, next)
			if err != nil {
				return message.File{}, err
			}
		}
		size += int64(n)
		if size > message.MaxFile {
			return message.File{}, &protocol.Error{Op: op, Code: protocol.CodeTooLarge, Params: map[string]any{"limit": message.MaxFile}}
		}
		sum.Write(chunk[:n])
		if _, err := dst.Write(secretbox.Seal(nil, chunk[:n], fileNonce(id, i, m == 0), &secret)); err != nil {
			return message.File{}, err
		}
		if m == 0 {
			break
		}
		chunk, next, n = next, chunk, m
	}
	f := message.File{ID: id, Key: key, Size: size, Hash: protocol.Hash32(sum.Sum(nil)), Type: mediaType}
	return f, f.Check()
}

// OpenFile reads the sealed chunks from src and writes the plaintext to dst
// chunk by chunk, each only after its tag is checked. The whole is good only if
// the error is nil: then length and hash are f's and nothing was left over.
func OpenFile(dst io.Writer, src io.Reader, f message.File) error {
	if err := f.Check(); err != nil {
		return err
	}
	bad := &protocol.Error{Op: "letter.OpenFile", Code: protocol.CodeBadRequest, Cause: ErrFile}
	secret := [32]byte(f.Key.Expose())
	sum := sha256.New()
	sealed := make([]byte, sealedChunk)
	left := f.Size
	for i := 0; ; i++ {
		want := min(left, ChunkSize)
		n, err := readChunk(src, sealed[:want+secretbox.Overhead])
		if err != nil {
			return err
		}
		last := left <= ChunkSize
		chunk, ok := secretbox.Open(nil, sealed[:n], fileNonce(f.ID, i, last), &secret)
		if !ok || int64(len(chunk)) != want {
			return bad
		}
		sum.Write(chunk)
		if _, err := dst.Write(chunk); err != nil {
			return err
		}
		left -= want
		if last {
			break
		}
	}
	n, err := readChunk(src, sealed[:1])
	if err != nil {
		return err
	}
	if n != 0 || protocol.Hash32(sum.Sum(nil)) != f.Hash {
		return bad
	}
	return nil
}

// readChunk fills b as far as src goes; the end of src is no error.
func readChunk(src io.Reader, b []byte) (int, error) {
	n, err := io.ReadFull(src, b)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return n, err
}
