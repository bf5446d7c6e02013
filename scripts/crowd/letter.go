package crowd

import (
	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/protocol/letter"
	"github.com/courtyard-social/courtyard/protocol/message"
)

// Seal makes a chat letter of p to another person, for both sides; seq counts
// p's letters of that conversation from 1. Not for several goroutines.
func (p *Person) Seal(to *Person, seq int64, text string) (mid protocol.ID, e *protocol.Envelope, err error) {
	e = &protocol.Envelope{TS: Now(), Type: protocol.TypeChat}
	mid, err = p.seal(e, to, []protocol.Key32{to.UEK.Key, p.UEK.Key}, seq, text)
	return mid, e, err
}

// fleeting is how long SealLive's letters may travel, ms.
const fleeting = 60_000

// SealLive makes a letter that no relay keeps. Those who measure seal many before
// they send the first: it is dated as far ahead as the clock of somebody might be,
// so that it is still good then.
func (p *Person) SealLive(to *Person, text string) (*protocol.Envelope, error) {
	ahead := Now() + 4*fleeting
	e := &protocol.Envelope{TS: ahead, Exp: ahead + fleeting, Type: protocol.TypeLive}
	_, err := p.seal(e, to, []protocol.Key32{to.UEK.Key}, 1, text)
	return e, err
}

// seal fills in e.
func (p *Person) seal(e *protocol.Envelope, to *Person, keys []protocol.Key32, seq int64, text string) (mid protocol.ID, err error) {
	e.V, e.From, e.To = 1, p.Address(), to.Address()
	body, err := message.MarshalBody(message.Text{Text: text})
	if err != nil {
		return mid, err
	}
	if mid, err = protocol.NewID(Random); err != nil {
		return mid, err
	}
	if e.ID, err = protocol.NewID(Random); err != nil {
		return mid, err
	}
	p.clock = max(e.TS, p.clock+1) // never the same twice, so that what is shown is in its order
	meta, err := message.Meta{Kind: message.KindText, MID: mid, Dev: p.Keys.ID(), Seq: seq, Clock: p.clock,
		Head: p.Chain.Head(), Chain: p.Chain.Seq(), UEK: to.UEK.Counter}.Marshal()
	if err != nil {
		return mid, err
	}
	e.Data, err = letter.Seal(Random, e, p.Keys, keys, meta, body)
	return mid, err
}

// Address is where p lives.
func (p *Person) Address() protocol.Address {
	return protocol.Address{IP: p.Yard.At.Host, Port: p.Yard.At.Port, Username: p.Username, ID: p.UID}
}

// Opened is a letter that came for somebody.
type Opened struct {
	Device ident.Device // that wrote it
	Meta   message.Meta
	Body   message.Body
}

// Open opens a letter of from with the daily key that p's device made.
func (p *Person) Open(e *protocol.Envelope, from *Person) (o Opened, err error) {
	opened, err := letter.Open(e, []ident.UEKSecret{p.Secret}, func(_ protocol.UID, dev protocol.DeviceID, _ []byte) (ident.Device, bool, error) {
		device, ok := from.Chain.Author(dev, e.TS)
		return device, ok, nil
	})
	if err != nil {
		return o, err
	}
	o.Device = opened.Device
	if o.Meta, err = message.ParseMeta(opened.Meta); err != nil {
		return o, err
	}
	o.Body, err = message.ParseBody(e.Type, o.Meta.Kind, opened.Body)
	return o, err
}
