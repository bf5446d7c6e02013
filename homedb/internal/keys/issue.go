package keys

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/courtyard-social/courtyard/homedb/internal/clock"
	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
)

// Daily is how long a record is used before the home issues the next.
const Daily = 24 * time.Hour

// maxRaces bounds how often one issue starts again because somebody else's
// record was first.
const maxRaces = 5

// Register is where records are published: the own relay.
type Register interface {
	UEK(ctx context.Context, uid protocol.UID) (protocol.Signed, error)
	PostUEK(ctx context.Context, token string, rec protocol.Signed) error
}

// Issuer issues records for one person's home.
type Issuer struct {
	Ring   *Ring
	Signer *ident.DeviceKeys
	Clock  clock.Clock // ages are by this machine's clock: a relay must not decide how long keys live
	Random io.Reader
	// Stamp is the time that records carry, ms: the relay's, which refuses others.
	Stamp func() int64
}

// newest is the newest record at the relay, nil if there is none yet. past says
// that a revocation since has put the floor above it or ended its signer: it is
// good for nothing but to be followed.
func newest(ctx context.Context, at Register, chain *ident.Chain) (rec *ident.UEKRecord, signed protocol.Signed, past bool, err error) {
	signed, err = at.UEK(ctx, chain.UID())
	if protocol.CodeOf(err) == protocol.CodeNotFound {
		return nil, signed, false, nil
	}
	if err != nil {
		return nil, signed, false, err
	}
	r, err := ident.VerifyUEK(signed, chain)
	records := chain.Records(0)
	for tries := 0; err != nil && len(records) > 1 && tries < maxRevocations; {
		dropped := records[len(records)-1]
		records = records[:len(records)-1]
		if !revokes(dropped) {
			continue
		}
		tries++
		past = true
		earlier, parseErr := ident.ParseChain(records)
		if parseErr != nil {
			return nil, signed, false, parseErr
		}
		r, err = ident.VerifyUEK(signed, earlier)
	}
	if err != nil {
		return nil, signed, false, err
	}
	return &r, signed, past, nil
}

// maxRevocations bounds how many revocations a record may lie behind.
const maxRevocations = 32

// revokes reads the op of a record that belongs to a verified chain.
func revokes(rec protocol.Signed) bool {
	var p struct {
		Op string `json:"op"`
	}
	return protocol.DecodeOpen(rec.Payload, &p, 4) == nil && p.Op == ident.OpDeviceRevoke
}

// Keep issues a new record if it is due: the newest is a day old, or not this
// home's own work, or its secret is not here. It returns the record in use.
// The secret is on disk before its record is published, so that a crash between
// the two costs a counter and no letter.
func (i *Issuer) Keep(ctx context.Context, at Register, token string, chain *ident.Chain) (ident.UEKRecord, error) {
	if err := i.Ring.correct(ctx, clock.Millis(i.Clock)); err != nil {
		return ident.UEKRecord{}, err
	}
	for range maxRaces {
		last, signed, past, err := newest(ctx, at, chain)
		if err != nil {
			return ident.UEKRecord{}, fmt.Errorf("keys.Keep: %w", err)
		}
		if last != nil && !past && !i.due(*last, signed) {
			return *last, i.issued(ctx, last.Key)
		}
		rec, err := i.issue(ctx, at, token, chain, last)
		if protocol.CodeOf(err) == protocol.CodeUEKConflict {
			continue
		}
		return rec, err
	}
	return ident.UEKRecord{}, errors.New("keys.Keep: others issue records all the time")
}

func (i *Issuer) due(last ident.UEKRecord, signed protocol.Signed) bool {
	k, here := i.Ring.Find(last.Key)
	if !here || signed.By != i.Signer.Public() {
		return true
	}
	// Not noted yet means a crash just after it was published.
	return k.Issued != 0 && clock.Millis(i.Clock)-k.Issued >= Daily.Milliseconds()
}

// issued notes that the relay serves a record of ours: also after a crash
// between publishing and noting.
func (i *Issuer) issued(ctx context.Context, public protocol.Key32) error {
	k, here := i.Ring.Find(public)
	if !here || k.Issued != 0 {
		return nil
	}
	k.Issued = clock.Millis(i.Clock)
	return i.Ring.Add(ctx, k)
}

func (i *Issuer) issue(ctx context.Context, at Register, token string, chain *ident.Chain, last *ident.UEKRecord) (ident.UEKRecord, error) {
	secret, err := protocol.NewBoxSecret(i.Random)
	if err != nil {
		return ident.UEKRecord{}, err
	}
	k := Key{UEKSecret: ident.UEKSecret{Counter: 1, Secret: secret}, TS: i.Stamp()}
	if last != nil {
		k.Counter = last.Counter + 1
	}
	signed, err := ident.NewUEKRecord(i.Signer, chain, last, k.Public(), k.TS)
	if err != nil {
		return ident.UEKRecord{}, fmt.Errorf("keys.issue: %w", err)
	}
	rec, err := ident.VerifyUEK(signed, chain)
	if err != nil {
		return ident.UEKRecord{}, fmt.Errorf("keys.issue: %w", err)
	}
	if err := i.Ring.Add(ctx, k); err != nil {
		return ident.UEKRecord{}, err
	}
	if err := at.PostUEK(ctx, token, signed); err != nil {
		if protocol.CodeOf(err) == protocol.CodeUEKConflict {
			// Nobody has ever seen this key.
			return ident.UEKRecord{}, errors.Join(err, i.Ring.Delete(ctx, k.Public()))
		}
		return ident.UEKRecord{}, err // perhaps published: the secret stays
	}
	return rec, i.issued(ctx, k.Public())
}
