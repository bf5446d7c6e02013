// Package directtest is a phone that opens direct connections, played by pion.
package directtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/pion/datachannel"
	"github.com/pion/ice/v4"
	"github.com/pion/sctp"
	"github.com/pion/webrtc/v4"

	"github.com/courtyard-social/courtyard/protocol"
)

// Patience is how long anything may take before a test fails.
const Patience = 60 * time.Second

// Phone is one connection as a device makes it.
type Phone struct {
	testing.TB
	*webrtc.PeerConnection
	Channel *webrtc.DataChannel

	opened chan datachannel.ReadWriteCloserDeadliner
	raw    datachannel.ReadWriteCloserDeadliner
	id     int64
	heard  []Message // unasked
}

// Message is what the home says.
type Message struct {
	ID int64           `json:"id"`
	M  string          `json:"m"`
	P  json.RawMessage `json:"p"`
	R  json.RawMessage `json:"r"`
	E  *struct {
		Code string `json:"code"`
	} `json:"e"`
}

// Plan is how a phone differs from others.
type Plan struct {
	Label, Protocol string // of the channel; "": as the home wants it
	Settings        func(*webrtc.SettingEngine)
	Channel         *webrtc.DataChannelInit
	// Through is the one TURN server through which the phone goes; none: not through any.
	Through *webrtc.ICEServer
}

// New makes a phone that is reached on loopback addresses alone.
func New(t testing.TB, plan Plan) *Phone {
	t.Helper()
	var e webrtc.SettingEngine
	e.DetachDataChannels()
	e.SetIncludeLoopbackCandidate(true)
	e.SetIPFilter(func(ip net.IP) bool { return ip.To4() != nil && ip.IsLoopback() })
	e.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	if plan.Settings != nil {
		plan.Settings(&e)
	}
	var servers webrtc.Configuration
	if plan.Through != nil {
		servers = webrtc.Configuration{ICEServers: []webrtc.ICEServer{*plan.Through}, ICETransportPolicy: webrtc.ICETransportPolicyRelay}
	}
	pc, err := webrtc.NewAPI(webrtc.WithSettingEngine(e)).NewPeerConnection(servers)
	if err != nil {
		t.Fatal(err)
	}
	p := &Phone{TB: t, PeerConnection: pc, opened: make(chan datachannel.ReadWriteCloserDeadliner, 1)}
	t.Cleanup(p.Leave)
	label, init := "courtyard", &webrtc.DataChannelInit{}
	if plan.Channel != nil {
		init = plan.Channel
	}
	if plan.Label != "" {
		label = plan.Label
	}
	name := "home/1"
	if plan.Protocol != "" {
		name = plan.Protocol
	}
	init.Protocol = &name
	if p.Channel, err = pc.CreateDataChannel(label, init); err != nil {
		t.Fatal(err)
	}
	p.Channel.OnOpen(func() {
		raw, err := p.Channel.DetachWithDeadline()
		if err != nil {
			t.Error(err)
			return
		}
		p.opened <- raw
	})
	return p
}

// Leave ends it without a word more than WebRTC's own.
func (p *Phone) Leave() {
	if err := p.GracefulClose(); err != nil {
		p.Logf("a phone did not leave well: %v", err)
	}
}

// Offers describes the phone, its addresses included.
func (p *Phone) Offers() string {
	p.Helper()
	offer, err := p.CreateOffer(nil)
	if err != nil {
		p.Fatal(err)
	}
	complete := webrtc.GatheringCompletePromise(p.PeerConnection)
	if err := p.SetLocalDescription(offer); err != nil {
		p.Fatal(err)
	}
	<-complete
	return p.LocalDescription().SDP
}

// Takes takes the home's answer.
func (p *Phone) Takes(sdp string) {
	p.Helper()
	if err := p.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: sdp}); err != nil {
		p.Fatal(err)
	}
}

// Opens waits until the channel is open.
func (p *Phone) Opens() {
	p.Helper()
	select {
	case p.raw = <-p.opened:
	case <-time.After(Patience):
		p.Fatal("the channel does not open")
	}
}

// Opened reports whether the channel has opened so far.
func (p *Phone) Opened() bool { return len(p.opened) > 0 || p.raw != nil }

// Says sends a message.
func (p *Phone) Says(text string) {
	p.Helper()
	if _, err := p.raw.WriteDataChannel([]byte(text), true); err != nil {
		p.Fatal(err)
	}
}

// SaysBytes sends a message that is no text.
func (p *Phone) SaysBytes(data []byte) {
	p.Helper()
	if _, err := p.raw.WriteDataChannel(data, false); err != nil {
		p.Fatal(err)
	}
}

// Hears waits for a message; the error is that of a channel that has ended.
func (p *Phone) Hears() (Message, error) {
	var m Message
	buffer := make([]byte, 64<<10)
	if err := p.raw.SetReadDeadline(time.Now().Add(Patience)); err != nil {
		return m, err
	}
	n, _, err := p.raw.ReadDataChannel(buffer)
	if err := p.raw.SetReadDeadline(time.Time{}); err != nil { // pion would go on waiting for it
		return m, err
	}
	if err != nil {
		return m, err
	}
	return m, json.Unmarshal(buffer[:n], &m)
}

// Asks puts a request and decodes the answer. The error has the home's code, or is
// that of a channel that has ended.
func (p *Phone) Asks(method string, params, into any) error {
	p.Helper()
	p.id++
	raw, err := json.Marshal(map[string]any{"id": p.id, "m": method, "p": params})
	if err != nil {
		p.Fatal(err)
	}
	if _, err := p.raw.WriteDataChannel(raw, true); err != nil {
		return err
	}
	for {
		m, err := p.Hears()
		switch {
		case err != nil:
			return err
		case m.M != "":
			p.heard = append(p.heard, m)
		case m.ID != p.id:
			p.Fatalf("answer to %d instead of %d", m.ID, p.id)
		case m.E != nil:
			return &protocol.Error{Op: method, Code: m.E.Code}
		case into == nil:
			return nil
		default:
			return json.NewDecoder(bytes.NewReader(m.R)).Decode(into)
		}
	}
}

// Told waits until the home says m by itself.
func (p *Phone) Told(m string) json.RawMessage {
	p.Helper()
	for {
		for i, h := range p.heard {
			if h.M == m {
				p.heard = append(p.heard[:i], p.heard[i+1:]...)
				return h.P
			}
		}
		h, err := p.Hears()
		if err != nil {
			p.Fatal(err)
		}
		p.heard = append(p.heard, h)
	}
}

// Ends waits until the channel has ended by the home's will.
func (p *Phone) Ends() {
	p.Helper()
	for p.raw != nil {
		if _, err := p.Hears(); err != nil {
			if errors.Is(err, sctp.ErrReadDeadlineExceeded) {
				p.Fatalf("the channel is still there: %v", err)
			}
			return
		}
	}
	p.Fatal("there was no channel")
}

// File reads a file by pieces, as the app does, and calls after each.
func (p *Phone) File(id protocol.ID, each func(have, size int64) bool) ([]byte, error) {
	p.Helper()
	var out []byte
	for {
		var a struct {
			Data protocol.Bytes `json:"data"`
			Size int64          `json:"size"`
		}
		if err := p.Asks("file", map[string]any{"id": id, "offset": len(out)}, &a); err != nil {
			return out, err
		}
		out = append(out, a.Data...)
		if int64(len(out)) >= a.Size || each != nil && !each(int64(len(out)), a.Size) {
			return out, nil
		}
	}
}

// Write sends a message from beside the one who hears.
func (p *Phone) Write(message []byte) (int, error) { return p.raw.WriteDataChannel(message, true) }

// BytesReceived is what has come from the home, read or not.
func (p *Phone) BytesReceived() uint64 { return p.SCTP().Stats().BytesReceived }

// Settles waits until a figure has stayed the same for a while, and returns it.
func Settles(t testing.TB, figure func() uint64) uint64 {
	t.Helper()
	const still = 2 * time.Second
	tick := time.NewTicker(still / 20)
	defer tick.Stop()
	end := time.After(Patience)
	last, since := figure(), time.Now()
	for {
		select {
		case <-tick.C:
		case <-end:
			t.Fatal("it does not come to rest")
		}
		if now := figure(); now != last {
			last, since = now, time.Now()
		} else if time.Since(since) > still {
			return last
		}
	}
}
