package push

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"net/netip"
	"net/url"
	"sync"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
)

const (
	// tokenLife of what a vendor is shown; RFC 8292 allows a day.
	tokenLife = 12 * time.Hour
	// renewBefore its end a token is made anew.
	renewBefore = time.Hour
	// mostTokens bounds the origins with a token at hand; beyond it all are made anew.
	mostTokens = 64
)

// vapid is how the relay names itself to the vendors (RFC 8292): one key for
// all of them, so that only this relay can use its people's subscriptions.
type vapid struct {
	key    *ecdsa.PrivateKey
	public []byte // a point of 65 bytes
	now    func() time.Time
	host   string

	mu     sync.Mutex
	tokens map[string]token // guarded by mu; by origin
}

type token struct {
	header string
	until  time.Time
}

func newVAPID(seed protocol.Secret, host string, now func() time.Time) (*vapid, error) {
	v := &vapid{now: now, host: host, tokens: map[string]token{}}
	for i := 0; ; i++ {
		// One in 2^32 is no scalar of the curve.
		candidate := protocol.KDF(seed.Expose(), "push/vapid", protocol.U8(i))
		key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), candidate[:])
		if err != nil && i < 8 {
			continue
		}
		if err != nil {
			return nil, err
		}
		v.key = key
		v.public, err = key.PublicKey.Bytes()
		return v, err
	}
}

// header is the Authorization header for an endpoint.
func (v *vapid) header(endpoint *url.URL) (string, error) {
	origin := endpoint.Scheme + "://" + endpoint.Host
	now := v.now()
	v.mu.Lock()
	defer v.mu.Unlock()
	if held, ok := v.tokens[origin]; ok && held.until.Sub(now) > renewBefore && held.until.Sub(now) <= tokenLife {
		return held.header, nil
	}
	until := now.Add(tokenLife)
	claims := struct {
		Aud string `json:"aud"`
		Exp int64  `json:"exp"`
		Sub string `json:"sub,omitempty"`
	}{origin, until.Unix(), v.contact()}
	raw, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	text := protocol.EncodeBytes([]byte(`{"typ":"JWT","alg":"ES256"}`)) + "." + protocol.EncodeBytes(raw)
	digest := sha256.Sum256([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, v.key, digest[:])
	if err != nil {
		return "", err
	}
	sig := make([]byte, 64)
	r.FillBytes(sig[:32])
	s.FillBytes(sig[32:])
	if len(v.tokens) >= mostTokens {
		clear(v.tokens)
	}
	header := "vapid t=" + text + "." + protocol.EncodeBytes(sig) + ", k=" + protocol.EncodeBytes(v.public)
	v.tokens[origin] = token{header, until}
	return header, nil
}

// contact is where a vendor may turn: the courtyard itself. Apple refuses a
// token that names this very machine, so a relay on it names nobody.
func (v *vapid) contact() string {
	name, _, err := protocol.SplitHost(v.host)
	addr, literal := netip.ParseAddr(name)
	if err != nil || name == "localhost" || literal == nil && addr.IsLoopback() {
		return ""
	}
	return "https://" + v.host
}
