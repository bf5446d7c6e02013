package household_test

import (
	"bytes"
	"crypto/rand"
	"testing"

	"github.com/courtyard-social/courtyard/homedb/internal/direct"
	"github.com/courtyard-social/courtyard/homedb/internal/hometest"
	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/protocol/message"
)

// TestADirectConnectionOutlivesTheRelay: the relay stops in the middle of a large
// photo. The phone goes on over its own connection; when the relay is back, so is the
// link, and the connection is still the same.
func TestADirectConnectionOutlivesTheRelay(t *testing.T) {
	c := hometest.Start(t)
	wei := c.Owner("wei")
	mei := c.Guest(wei, "mei")
	home := c.Home(c.Directly())
	wei.Pairs(home)
	plain := make([]byte, 4<<20)
	rand.Read(plain) //nolint:errcheck // it never fails
	file, sealed := mei.SealsFile(plain)
	mei.Uploads(wei, file, sealed)
	mei.Ticked(mei.Sends(wei.UID, hometest.Draft{Type: "chat", Kind: message.KindPhoto, Body: message.Photo{File: file, Width: 1, Height: 1}}))
	link := wei.Links()
	hometest.Until(t, "the photo is home", func() bool { return link.Asks("file", map[string]any{"id": file.ID, "offset": 0}, nil) == nil })

	phone, id := link.Calls(t)
	stopped := false
	got, err := phone.File(file.ID, func(have, size int64) bool {
		if !stopped && have > size/2 {
			stopped = true
			c.Stop()
		}
		return true
	})
	if err != nil || !stopped || !bytes.Equal(got, sealed) {
		t.Fatalf("%d of %d bytes, %v", len(got), len(sealed), err)
	}
	c.Restart()
	wei.Again()
	wei.TakenOver(home)
	var way direct.Way
	if err := wei.Links().Asks("direct-path", map[string]any{"id": id}, &way); err != nil || way.State != "open" {
		t.Errorf("%+v %v", way, err)
	}
	mei.Again()
	mei.Ticked(mei.Says(wei, "after the relay was back"))
	phone.Told("new")
}

// TestARevokedDeviceLosesItsConnection: the chain says so, and the home hears it from
// the relay.
func TestARevokedDeviceLosesItsConnection(t *testing.T) {
	c := hometest.Start(t)
	wei := c.Owner("wei")
	home := c.Home(c.Directly())
	wei.Pairs(home)
	tablet := wei.AddDevice(ident.RoleAdmin)
	tablet.Connect()
	stays, _ := wei.Links().Calls(t)
	goes, _ := tablet.Links().Calls(t)
	if err := goes.Asks("keys", map[string]any{}, nil); err != nil {
		t.Fatal(err)
	}
	wei.Publish(wei.Chain().NewDeviceRevoke(wei.Keys, tablet.Keys.ID(), 0, wei.Now()))
	goes.Ends()
	if err := stays.Asks("asks", map[string]any{}, nil); err != nil {
		t.Error(err)
	}
}

// TestAProbeGoesWhereTheDeviceIs, and nowhere else: the relay says where.
func TestAProbeGoesWhereTheDeviceIs(t *testing.T) {
	c := hometest.Start(t)
	wei := c.Owner("wei")
	home := c.Home(c.Directly())
	wei.Pairs(home)
	link := wei.Links()
	var probed direct.Probed
	ask := map[string]any{"ufrag": "abcd", "pwd": "0123456789012345678901", "to": []string{"127.0.0.1:40000", "93.184.216.34:40000"}}
	if err := link.Asks("probe", ask, &probed); err != nil || probed.Sent != 1 || probed.Answered {
		t.Errorf("%+v %v", probed, err)
	}
	if err := link.Asks("direct-path", map[string]any{"id": protocol.ID{1}}, nil); protocol.CodeOf(err) != protocol.CodeNotFound {
		t.Error(err)
	}
}
