package protocol

// Signer holds an Ed25519 key and signs preimages (section 1).
type Signer interface {
	Public() Key32
	Sign(label string, parts ...[]byte) Signature
}

// Signed carries its payload as the bytes that were signed (section 1). A
// decoded Signed is not yet verified.
type Signed struct {
	Payload Bytes     `json:"payload"`
	By      Key32     `json:"by"`
	Sig     Signature `json:"sig"`
}

// SignPayload signs payload under label: sign(by, label, payload).
func SignPayload(signer Signer, label string, payload []byte) Signed {
	return Signed{Payload: payload, By: signer.Public(), Sig: signer.Sign(label, payload)}
}

// Verify checks the signature. Whether By may sign this is another question.
func (s Signed) Verify(label string) bool { return Verify(s.By, s.Sig, label, s.Payload) }

// maxSigned bounds a signed object: a 4 KiB payload in base64url and its frame.
const maxSigned = 8 << 10

// ParseSigned reads one signed object, closed, at most 8 KiB.
func ParseSigned(raw []byte) (Signed, error) {
	var s Signed
	if len(raw) > maxSigned {
		return s, &Error{Op: "protocol.ParseSigned", Code: CodeTooLarge}
	}
	return s, DecodeClosed(raw, &s, 1)
}

// Marshal writes the signed object as JSON.
func (s Signed) Marshal() []byte {
	out, err := Marshal(s)
	if err != nil { // byte strings always encode
		panic(err)
	}
	return out
}
