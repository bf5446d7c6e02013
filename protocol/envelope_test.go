package protocol_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/internal/vectortest"
)

func goodEnvelope() *protocol.Envelope {
	return &protocol.Envelope{
		V: 1, ID: vectortest.FixedID("envelope"), TS: 1_790_000_000_123, Exp: 0,
		From: protocol.Address{IP: "203.0.113.5", Port: 443, Username: "alice", ID: vectortest.Fixed("alice uid")},
		To:   protocol.Address{IP: "relay.example", Port: 8443, Username: "bob", ID: vectortest.Fixed("bob uid")},
		Type: "chat", Data: []byte("not a letter"),
	}
}

func TestEnvelopeRoundTrip(t *testing.T) {
	raw := goodEnvelope().Marshal()
	e, err := protocol.ParseEnvelope(raw)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(e.Marshal(), raw) || e.H() != goodEnvelope().H() {
		t.Errorf("%s", e.Marshal())
	}
	other, err := protocol.Marshal(e)
	if err != nil || !bytes.Equal(other, raw) {
		t.Errorf("the two writers differ: %s", other)
	}
}

// H must move with every field it binds and stay for hints.
func TestHBindsEveryField(t *testing.T) {
	h := goodEnvelope().H()
	for what, edit := range map[string]func(*protocol.Envelope){
		"v": func(e *protocol.Envelope) { e.V = 2 }, "id": func(e *protocol.Envelope) { e.ID[15] ^= 1 },
		"ts": func(e *protocol.Envelope) { e.TS++ }, "exp": func(e *protocol.Envelope) { e.Exp = 1 },
		"from.id": func(e *protocol.Envelope) { e.From.ID[0] ^= 1 }, "to.id": func(e *protocol.Envelope) { e.To.ID[31] ^= 1 },
		"type": func(e *protocol.Envelope) { e.Type = "friend" },
		"swap": func(e *protocol.Envelope) { e.From, e.To = e.To, e.From },
	} {
		e := goodEnvelope()
		edit(e)
		if e.H() == h {
			t.Errorf("%s is not bound", what)
		}
	}
	e := goodEnvelope()
	e.From.IP, e.From.Port, e.To.Username, e.Data = "other.example", 1, "", nil
	if e.H() != h {
		t.Error("a hint is bound")
	}
}

// badEnvelopes are texts that every reader refuses, by reason.
func badEnvelopes() map[string]string {
	good := string(goodEnvelope().Marshal())
	edit := func(old, new string) string {
		if !strings.Contains(good, old) {
			panic(old)
		}
		return strings.Replace(good, old, new, 1)
	}
	return map[string]string{
		"version 2":              edit(`"v":1`, `"v":2`),
		"version missing":        edit(`"v":1,`, ``),
		"version twice":          edit(`"v":1`, `"v":1,"v":1`),
		"version twice, escaped": edit(`"v":1`, `"v":1,"\u0076":1`),
		"key of another case":    edit(`"exp"`, `"Exp"`),
		"unknown key":            edit(`"v":1`, `"v":1,"w":1`),
		"unknown key in from":    edit(`"port":443`, `"port":443,"x":1`),
		"null":                   edit(`"exp":0`, `"exp":null`),
		"fraction":               edit(`"exp":0`, `"exp":0.0`),
		"exponent":               edit(`"exp":0`, `"exp":0e1`),
		"integer as text":        edit(`"exp":0`, `"exp":"0"`),
		"negative time":          edit(`"exp":0`, `"exp":-1`),
		"time from 2^53":         edit(`"exp":0`, `"exp":9007199254740992`),
		"id too short":           edit(`"id":"`, `"id":"A`),
		"id with padding":        strings.Replace(good, `","ts"`, `==","ts"`, 1),
		"data with padding":      edit(`"data":"bm90IGEgbGV0dGVy"`, `"data":"bm90IGEgbGV0dA=="`),
		"data trailing bits":     edit(`"data":"bm90IGEgbGV0dGVy"`, `"data":"bm90IGEgbGV0dB"`),
		"data other alphabet":    edit(`"data":"bm90IGEgbGV0dGVy"`, `"data":"+/+/"`),
		"data line break":        edit(`"data":"bm90IGEgbGV0dGVy"`, `"data":"bm90\nIGEg"`),
		"port 0":                 edit(`"port":443`, `"port":0`),
		"port 65536":             edit(`"port":443`, `"port":65536`),
		"ip empty":               edit(`"ip":"203.0.113.5"`, `"ip":""`),
		"ip with brackets":       edit(`"ip":"203.0.113.5"`, `"ip":"[::1]"`),
		"ip with zone":           edit(`"ip":"203.0.113.5"`, `"ip":"fe80::1%eth0"`),
		"ip short form":          edit(`"ip":"203.0.113.5"`, `"ip":"127.1"`),
		"ip with port":           edit(`"ip":"203.0.113.5"`, `"ip":"relay.example:443"`),
		"host label empty":       edit(`"ip":"relay.example"`, `"ip":"relay..example"`),
		"host with hyphen first": edit(`"ip":"relay.example"`, `"ip":"-relay.example"`),
		"host not ASCII":         edit(`"ip":"relay.example"`, `"ip":"relé.example"`),
		"host of 254 bytes":      edit(`"ip":"relay.example"`, `"ip":"`+strings.Repeat("a.", 126)+`aa"`),
		"username upper case":    edit(`"username":"bob"`, `"username":"Bob"`),
		"username of one":        edit(`"username":"bob"`, `"username":"b"`),
		"type empty":             edit(`"type":"chat"`, `"type":""`),
		"type upper case":        edit(`"type":"chat"`, `"type":"Chat"`),
		"type of 33":             edit(`"type":"chat"`, `"type":"`+strings.Repeat("a", 33)+`"`),
		"trailing object":        good + "{}",
		"trailing letter":        good + "x",
		"too deep":               edit(`"username":"alice"`, `"username":[[1]]`),
		"array":                  "[" + good + "]",
		"empty":                  "",
		"cut":                    good[:len(good)-1],
		"lone surrogate":         edit(`"type":"chat"`, `"type":"\ud800"`),
	}
}

func TestEnvelopeRefusals(t *testing.T) {
	for what, raw := range badEnvelopes() {
		if _, err := protocol.ParseEnvelope([]byte(raw)); protocol.CodeOf(err) != protocol.CodeBadRequest {
			t.Errorf("%s: %v", what, err)
		}
	}
	big := goodEnvelope()
	big.Data = make([]byte, 97_900)
	if raw := big.Marshal(); len(raw) > protocol.MaxEnvelope {
		t.Fatal(len(raw))
	} else if _, err := protocol.ParseEnvelope(raw); err != nil {
		t.Error("just below the limit:", err)
	}
	big.Data = make([]byte, 98_304)
	if _, err := protocol.ParseEnvelope(big.Marshal()); protocol.CodeOf(err) != protocol.CodeTooLarge {
		t.Error("oversize:", err)
	}
}

func BenchmarkParseEnvelope(b *testing.B) {
	e := goodEnvelope()
	e.Data = make([]byte, 700)
	raw := e.Marshal()
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := protocol.ParseEnvelope(raw); err != nil {
			b.Fatal(err)
		}
	}
}
