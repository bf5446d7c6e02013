package protocol

import (
	"crypto/ecdh"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"log/slog"

	//lint:ignore SA1019 HSalsa20 alone is NaCl's beforenm; the package is deprecated as a cipher.
	"golang.org/x/crypto/salsa20/salsa"
)

const redacted = "[secret]"

var (
	errSecretText = errors.New("a secret is written only into sealed JSON")
	errLowOrder   = errors.New("low-order public key")
)

// veiled keeps a value behind two pointers. fmt calls no method on unexported
// fields, and for a verb it does not know it prints what one pointer points to;
// of two it never prints more than the address.
type veiled[V any] struct{ p **V }

func veil[V any](v V) veiled[V] {
	p := &v
	return veiled[V]{&p}
}

func (v veiled[V]) get() V {
	if v.p == nil {
		var none V
		return none
	}
	return **v.p
}

// Secret is 10, 16 or 32 secret bytes. It never prints: every formatting and
// marshalling interface answers "[secret]" or an error, and the bytes are
// veiled. MarshalSealed is the one encoder that writes it.
type Secret struct{ b veiled[[]byte] }

// NewSecret makes a secret of size random bytes.
func NewSecret(random io.Reader, size int) (Secret, error) {
	b := make([]byte, size)
	if _, err := io.ReadFull(random, b); err != nil {
		return Secret{}, err
	}
	return Secret{veil(b)}, nil
}

// SecretOf copies b into a secret.
func SecretOf(b []byte) Secret { return Secret{veil(append([]byte(nil), b...))} }

// Expose returns the bytes, for a cipher or for a file that only its owner reads.
func (s Secret) Expose() []byte { return append([]byte(nil), s.b.get()...) }

// IsZero reports whether there is no secret.
func (s Secret) IsZero() bool { return s.b.p == nil }

// Len is the number of bytes, 0 for none.
func (s Secret) Len() int { return len(s.b.get()) }

// Equal compares in constant time.
func (s Secret) Equal(o Secret) bool { return Equal(s.Expose(), o.Expose()) }

func (Secret) String() string               { return redacted }
func (Secret) GoString() string             { return redacted }
func (Secret) Format(f fmt.State, _ rune)   { io.WriteString(f, redacted) } //nolint:errcheck // fmt.State keeps no error
func (Secret) LogValue() slog.Value         { return slog.StringValue(redacted) }
func (Secret) MarshalText() ([]byte, error) { return nil, errSecretText }

// UnmarshalText reads base64url; the caller checks Len.
func (s *Secret) UnmarshalText(t []byte) error {
	b, err := decodeText(t)
	if err != nil {
		return err
	}
	s.b = veil(b)
	return nil
}

// SignSecret is an Ed25519 private key: a device's, a recovery card's or a relay's.
type SignSecret struct{ key veiled[signKey] }

type signKey struct {
	private ed25519.PrivateKey
	public  Key32
}

// NewSignSecret makes a key from 32 random bytes.
func NewSignSecret(random io.Reader) (SignSecret, error) {
	var seed [32]byte
	if _, err := io.ReadFull(random, seed[:]); err != nil {
		return SignSecret{}, err
	}
	return SignSecretOf(seed), nil
}

// SignSecretOf makes the key of an RFC 8032 seed.
func SignSecretOf(seed [32]byte) SignSecret {
	private := ed25519.NewKeyFromSeed(seed[:])
	return SignSecret{veil(signKey{private, Key32(private.Public().(ed25519.PublicKey))})}
}

// Public is the Ed25519 public key.
func (s SignSecret) Public() Key32 { return s.key.get().public }

// Sign signs the preimage of label and parts (section 1).
func (s SignSecret) Sign(label string, parts ...[]byte) Signature {
	return Signature(ed25519.Sign(s.key.get().private, Preimage(label, parts...)))
}

// Expose returns the seed, for a file that only its owner reads.
func (s SignSecret) Expose() [32]byte { return [32]byte(s.key.get().private.Seed()) }

func (SignSecret) String() string               { return redacted }
func (SignSecret) GoString() string             { return redacted }
func (SignSecret) Format(f fmt.State, _ rune)   { io.WriteString(f, redacted) } //nolint:errcheck // fmt.State keeps no error
func (SignSecret) LogValue() slog.Value         { return slog.StringValue(redacted) }
func (SignSecret) MarshalText() ([]byte, error) { return nil, errSecretText }

// Verify checks an Ed25519 signature over the preimage of label and parts.
func Verify(key Key32, sig Signature, label string, parts ...[]byte) bool {
	return ed25519.Verify(key[:], Preimage(label, parts...), sig[:])
}

// BoxSecret is an X25519 private key: a device's, a UEK's, a card's or an ephemeral one.
type BoxSecret struct{ key veiled[*ecdh.PrivateKey] }

// NewBoxSecret makes a key from 32 random bytes.
func NewBoxSecret(random io.Reader) (BoxSecret, error) {
	var b [32]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return BoxSecret{}, err
	}
	return BoxSecretOf(b), nil
}

// BoxSecretOf makes the key of 32 secret bytes (clamped when used, RFC 7748).
func BoxSecretOf(b [32]byte) BoxSecret {
	key, err := ecdh.X25519().NewPrivateKey(b[:])
	if err != nil { // only for a length other than 32
		panic(fmt.Sprintf("protocol: x25519: %v", err))
	}
	return BoxSecret{veil(key)}
}

// Public is the X25519 public key.
func (s BoxSecret) Public() Key32 { return Key32(s.key.get().PublicKey().Bytes()) }

// DH is X25519. An all-zero result, which a low-order public key gives, is refused.
func (s BoxSecret) DH(public Key32) ([32]byte, error) {
	pub, err := ecdh.X25519().NewPublicKey(public[:])
	if err != nil {
		return [32]byte{}, err
	}
	shared, err := s.key.get().ECDH(pub)
	if err != nil { // the standard library's check of the all-zero result
		return [32]byte{}, errLowOrder
	}
	return [32]byte(shared), nil
}

// SharedKey is NaCl's beforenm: HSalsa20(X25519, 0). Low-order keys are refused.
func (s BoxSecret) SharedKey(public Key32) ([32]byte, error) {
	shared, err := s.DH(public)
	if err != nil {
		return [32]byte{}, err
	}
	var out [32]byte
	var zero [16]byte
	salsa.HSalsa20(&out, &zero, &shared, &salsa.Sigma)
	return out, nil
}

// Expose returns the secret bytes, for a file or a sealed blob.
func (s BoxSecret) Expose() [32]byte { return [32]byte(s.key.get().Bytes()) }

// IsZero reports whether there is no key.
func (s BoxSecret) IsZero() bool { return s.key.p == nil }

func (BoxSecret) String() string               { return redacted }
func (BoxSecret) GoString() string             { return redacted }
func (BoxSecret) Format(f fmt.State, _ rune)   { io.WriteString(f, redacted) } //nolint:errcheck // fmt.State keeps no error
func (BoxSecret) LogValue() slog.Value         { return slog.StringValue(redacted) }
func (BoxSecret) MarshalText() ([]byte, error) { return nil, errSecretText }

// LowOrder reports whether an X25519 public key gives an all-zero result with
// every secret. Records that carry such a key are refused (sections 3 and 4).
func LowOrder(public Key32) bool {
	var one [32]byte
	one[0] = 1
	_, err := BoxSecretOf(one).DH(public)
	return err != nil
}
