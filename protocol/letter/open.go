package letter

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"

	"golang.org/x/crypto/nacl/box"
	"golang.org/x/crypto/nacl/secretbox"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
)

// Opened is a letter that passed every check.
type Opened struct {
	Meta   []byte       // JSON; message.ParseMeta reads it
	Body   []byte       // JSON by kind; message.ParseBody reads it
	Device ident.Device // the sender's, as found by Sender
	Auth   Auth
	Slot   int   // which slot was ours
	UEK    int64 // counter of the key that opened it
	Hash   protocol.Hash32
}

// Sender finds the device dev in the chain of uid (the envelope's from.id) and
// says whether a letter of the envelope's ts may be from it (ident.Chain.Author). meta is what the letter claims about itself,
// its chain seq and head among it, not yet authenticated: enough to decide
// whether to fetch the chain anew. An error (the network, say) comes back from
// Open as it is, and the letter may be tried again; false is final.
type Sender func(uid protocol.UID, dev protocol.DeviceID, meta []byte) (device ident.Device, author bool, err error)

// Open opens the letter in e.Data with whichever of keys it is sealed to, and
// checks commitment, padding and the sender's proof. Whether e is for this
// reader (to.id), fresh and wanted is the caller's question. Every refusal is
// the same error (cause ErrLetter), except an error of sender.
func Open(e *protocol.Envelope, keys []ident.UEKSecret, sender Sender) (*Opened, error) {
	data := e.Data
	end, ok := split(data)
	if !ok {
		return nil, errOpen()
	}
	p := header{e.H(), sha256.Sum256(data[:end])}
	s, ok := findSlot(p.h, data[:end], keys)
	if !ok {
		return nil, errOpen()
	}
	opened, ok := box.OpenAfterPrecomputation(nil, s.sealed, wrapNonce(p.h, s.i), &s.shared)
	if !ok {
		return nil, errOpen()
	}
	mk := [32]byte(opened)
	if commit := commitment(p.h, mk[:]); !protocol.Equal(commit[:], data[33:65]) {
		return nil, errOpen()
	}
	padded, ok := secretbox.Open(nil, data[end:], p.bodyNonce(), &mk)
	if !ok {
		return nil, errOpen()
	}
	inner, ok := unpad(padded)
	if !ok {
		return nil, errOpen()
	}
	proof, content, auth, ok := splitInner(inner, int(data[headSize-1]), e.Type)
	if !ok {
		return nil, errOpen()
	}
	meta, body := content[2:2+binary.BigEndian.Uint16(content)], content[2+binary.BigEndian.Uint16(content):]

	var claim struct {
		Dev protocol.DeviceID `json:"dev"`
	}
	if err := protocol.DecodeOpen(meta, &claim, maxMetaDepth); err != nil {
		return nil, errOpen()
	}
	device, author, err := sender(e.From.ID, claim.Dev, meta)
	if err != nil {
		return nil, err
	}
	if !author || device.ID() != claim.Dev {
		return nil, errOpen()
	}
	if !p.proven(auth, proof, content, device, s.key, s.i) {
		return nil, errOpen()
	}
	return &Opened{Meta: meta, Body: body, Device: device, Auth: auth, Slot: s.i, UEK: s.key.Counter, Hash: Hash(p.h, data)}, nil
}

// maxMetaDepth leaves room for what later versions put into meta.
const maxMetaDepth = 4

// SealedTo reports whether some slot of the letter in e.Data is for one of keys.
// If none is, the key may be gone, and the sender is answered `stale` (section
// 8). It proves nothing else of the letter.
func SealedTo(e *protocol.Envelope, keys []ident.UEKSecret) bool {
	end, ok := split(e.Data)
	if !ok {
		return false
	}
	_, ok = findSlot(e.H(), e.Data[:end], keys)
	return ok
}

// split is where the slots end and the body begins, of a letter with a possible size.
func split(data []byte) (end int, ok bool) {
	if len(data) < headSize || len(data) > MaxSize || data[0] != suite {
		return 0, false
	}
	n := int(data[headSize-1])
	end = headSize + n*slotSize
	if n < 1 || n > MaxSlots || len(data) < end+secretbox.Overhead+minPad {
		return 0, false
	}
	return end, true
}

// ownSlot is a slot that names one of the reader's keys, not yet opened.
type ownSlot struct {
	i      int
	key    ident.UEKSecret
	shared [32]byte
	sealed []byte
}

// findSlot is the first slot whose kid belongs to one of keys.
func findSlot(h protocol.Hash32, prefix []byte, keys []ident.UEKSecret) (ownSlot, bool) {
	eph, slots := protocol.Key32(prefix[1:33]), prefix[headSize:]
	for _, key := range keys {
		shared, err := key.Secret.SharedKey(eph)
		if err != nil {
			return ownSlot{}, false // a low-order eph_pk is so for every key
		}
		kid := kidOf(shared[:], h)
		for i := range len(slots) / slotSize {
			s := slots[i*slotSize : (i+1)*slotSize]
			if bytes.Equal(s[:kidSize], kid) { // a kid is public
				return ownSlot{i, key, shared, s[kidSize:]}, true
			}
		}
	}
	return ownSlot{}, false
}

// splitInner takes auth || u16(len meta) | meta | body apart.
func splitInner(inner []byte, n int, envelopeType string) (proof, content []byte, auth Auth, ok bool) {
	if len(inner) < 1 {
		return nil, nil, 0, false
	}
	size := 0
	switch auth = Auth(inner[0]); auth {
	case AuthMAC:
		size = n * 32
	case AuthSign:
		if between(envelopeType) {
			return nil, nil, 0, false
		}
		size = 64
	default:
		return nil, nil, 0, false
	}
	if len(inner) < 1+size+2 {
		return nil, nil, 0, false
	}
	proof, content = inner[1:1+size], inner[1+size:]
	if len(content) < 2+int(binary.BigEndian.Uint16(content)) {
		return nil, nil, 0, false
	}
	return proof, content, auth, true
}

func (p header) proven(auth Auth, proof, content []byte, device ident.Device, key ident.UEKSecret, slot int) bool {
	if auth == AuthSign {
		what := said(content)
		return protocol.Verify(device.Sign, protocol.Signature(proof), "sign/letter", p.h[:], p.prefix[:], what[:])
	}
	dh, err := key.Secret.DH(device.Box)
	if err != nil {
		return false
	}
	mac := p.mac(dh, slot, content)
	return protocol.Equal(mac[:], proof[slot*32:(slot+1)*32])
}
