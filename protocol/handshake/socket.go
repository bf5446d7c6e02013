package handshake

import "github.com/courtyard-social/courtyard/protocol"

// Operations of the socket's first three frames (section 12).
const (
	OpChallenge = "challenge"
	OpAuth      = "auth"
	OpReady     = "ready"
)

// maxFrame bounds the frames of this file; they are far smaller.
const maxFrame = 4 << 10

// Challenge is the relay's first frame.
type Challenge struct {
	Op    string         `json:"op"`
	Nonce protocol.Key32 `json:"nonce"` // fresh for each socket
	Key   protocol.Key32 `json:"key"`   // the relay key; a client compares it with its own chain
	Host  string         `json:"host"`
}

// Auth is the client's answer.
type Auth struct {
	Op       string             `json:"op"`
	UID      protocol.UID       `json:"uid"`
	Device   protocol.DeviceID  `json:"device"`
	Nonce    protocol.Key32     `json:"nonce"`    // the client's, fresh
	Instance protocol.ID        `json:"instance"` // of this running process or tab
	Sig      protocol.Signature `json:"sig"`
}

// Ready is the relay's answer to a good Auth.
type Ready struct {
	Op       string             `json:"op"`
	Token    string             `json:"token"`
	Time     int64              `json:"time"` // ms
	Host     string             `json:"host"`
	Username string             `json:"username"`
	Owner    bool               `json:"owner"`
	Proof    protocol.Signature `json:"proof"`
	Cursor   int64              `json:"cursor"`
	Chain    int                `json:"chain"` // seq of the last record
	Vault    int64              `json:"vault"` // version
	UEK      int64              `json:"uek"`   // counter
	Home     HomeState          `json:"home"`
	Space    Space              `json:"space"`
}

// HomeState is "none", "online" or "away", since when (ms).
type HomeState struct {
	State string `json:"state"`
	Since int64  `json:"since"`
}

// Space is what a person's rows and files take at the relay, in bytes.
type Space struct {
	Used  int64 `json:"used"`
	Limit int64 `json:"limit"`
}

// ParseChallenge reads a challenge; keys it does not know are allowed.
func ParseChallenge(raw []byte) (Challenge, error) {
	var f Challenge
	return f, parseFrame("handshake.ParseChallenge", raw, &f, &f.Op, OpChallenge)
}

// ParseAuth reads an auth frame; it is closed.
func ParseAuth(raw []byte) (Auth, error) {
	var f Auth
	if len(raw) > maxFrame {
		return f, &protocol.Error{Op: "handshake.ParseAuth", Code: protocol.CodeTooLarge}
	}
	if err := protocol.DecodeClosed(raw, &f, 1); err != nil {
		return f, err
	}
	if f.Op != OpAuth {
		return f, malformed("handshake.ParseAuth", "another op")
	}
	return f, nil
}

// ParseReady reads a ready frame; keys it does not know are allowed.
func ParseReady(raw []byte) (Ready, error) {
	var f Ready
	return f, parseFrame("handshake.ParseReady", raw, &f, &f.Op, OpReady)
}

func parseFrame(where string, raw []byte, frame any, op *string, want string) error {
	if len(raw) > maxFrame {
		return &protocol.Error{Op: where, Code: protocol.CodeTooLarge}
	}
	if err := protocol.DecodeOpen(raw, frame, 4); err != nil {
		return err
	}
	if *op != want {
		return malformed(where, "another op")
	}
	return nil
}

// AuthSign proves a device to a relay: sign(device, "sign/auth", relay nonce,
// relay key, host, uid, device id). host is what the client dialled, as
// protocol.ParseHost writes it, never what the challenge says.
func AuthSign(device protocol.Signer, relayNonce, relayKey protocol.Key32, host string, uid protocol.UID, id protocol.DeviceID) protocol.Signature {
	return device.Sign("sign/auth", relayNonce[:], relayKey[:], []byte(host), uid[:], id[:])
}

// AuthVerify checks AuthSign with the device's Ed25519 key. host must be a name
// from the relay's own configuration, never one that the request brought along,
// or a relay in the middle could choose it.
func AuthVerify(sign protocol.Key32, sig protocol.Signature, relayNonce, relayKey protocol.Key32, host string, uid protocol.UID, id protocol.DeviceID) bool {
	return protocol.Verify(sign, sig, "sign/auth", relayNonce[:], relayKey[:], []byte(host), uid[:], id[:])
}

// ReadySign proves the relay to a client: sign(relay, "sign/ready", client nonce, uid).
func ReadySign(relay protocol.Signer, clientNonce protocol.Key32, uid protocol.UID) protocol.Signature {
	return relay.Sign("sign/ready", clientNonce[:], uid[:])
}

// ReadyVerify checks ReadySign with the relay key that the client's own chain names.
func ReadyVerify(relayKey protocol.Key32, sig protocol.Signature, clientNonce protocol.Key32, uid protocol.UID) bool {
	return protocol.Verify(relayKey, sig, "sign/ready", clientNonce[:], uid[:])
}

// InviteHash is under what the relay keeps an invite: hash("invite/id", id) (section 9).
func InviteHash(id protocol.ID) protocol.Hash32 { return protocol.Hash("invite/id", id[:]) }
