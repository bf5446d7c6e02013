package elsewhere

import (
	"context"
	"strconv"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/relay/internal/reach"
	"github.com/courtyard-social/courtyard/relay/internal/webfinger"
)

const (
	jsonType = "application/json"
	// mostRecords and maxPayload bound a chain (section 3); its JSON is bounded by protocol.MaxJSON.
	mostRecords = 1000
	maxPayload  = 4 << 10
	// mostSigned bounds a signed object on the wire, bytes.
	mostSigned = 8 << 10
	// mostInvite bounds an invite: a card of 40 KiB in base64url and a name.
	mostInvite = 64 << 10
)

// Records are the records of uid's chain with a seq above after; all for -1.
// They follow each other, and the first begins uid's chain if it is the genesis:
// signatures are the asker's to check. Codes: as Get.
func (c *Courtyard) Records(ctx context.Context, uid protocol.UID, after int64) ([]protocol.Signed, error) {
	path := "/api/1/chains/" + uid.String()
	if after >= 0 {
		path += "?after=" + strconv.FormatInt(after, 10)
	}
	var body struct {
		Records []protocol.Signed `json:"records"`
	}
	if err := c.read(ctx, path, protocol.MaxJSON, &body); err != nil {
		return nil, err
	}
	return body.Records, follow(uid, after, body.Records)
}

// follow checks that records are what was asked for. Code: peer-away.
func follow(uid protocol.UID, after int64, records []protocol.Signed) error {
	if after < 0 {
		if len(records) == 0 {
			return nonsense("no record")
		}
		genesis, err := ident.ParseChain(records[:1])
		if err != nil {
			return nonsense(err.Error())
		}
		if genesis.UID() != uid {
			return nonsense("another person's chain")
		}
	}
	if after+1+int64(len(records)) > mostRecords && len(records) > 0 {
		return nonsense("too many records")
	}
	var last protocol.Hash32
	for i, rec := range records {
		var o struct {
			Seq  int64            `json:"seq"`
			Prev *protocol.Hash32 `json:"prev,omitempty"`
		}
		if len(rec.Payload) > maxPayload {
			return nonsense("a long record")
		}
		if err := protocol.DecodeOpen(rec.Payload, &o, 4); err != nil {
			return nonsense(err.Error())
		}
		if o.Seq != after+1+int64(i) || (o.Seq == 0) != (o.Prev == nil) || i > 0 && *o.Prev != last {
			return nonsense("records that do not follow each other")
		}
		last = protocol.Hash("chain", rec.Payload)
	}
	return nil
}

// UEK is uid's newest record; its signature is the asker's to check. Codes: as Get.
func (c *Courtyard) UEK(ctx context.Context, uid protocol.UID) (protocol.Signed, error) {
	var rec protocol.Signed
	if err := c.read(ctx, "/api/1/ueks/"+uid.String(), mostSigned, &rec); err != nil {
		return rec, err
	}
	var o struct {
		UID     protocol.UID `json:"uid"`
		Counter int64        `json:"counter"`
	}
	if err := protocol.DecodeOpen(rec.Payload, &o, 4); err != nil {
		return rec, nonsense(err.Error())
	}
	if o.UID != uid || o.Counter < 1 {
		return rec, nonsense("another person's record")
	}
	return rec, nil
}

// Invite is what somebody who opens an invite link may see; the card opens with
// the link's secret alone.
type Invite struct {
	UID      protocol.UID   `json:"uid"`
	Username string         `json:"username"`
	Card     protocol.Bytes `json:"card"`
}

// Invite looks at an invite, without spending it. Codes: as Get.
func (c *Courtyard) Invite(ctx context.Context, id protocol.ID) (Invite, error) {
	var invite Invite
	if err := c.read(ctx, "/api/1/invites/"+id.String(), mostInvite, &invite); err != nil {
		return invite, err
	}
	if !protocol.ValidUsername(invite.Username) {
		return invite, nonsense("no username")
	}
	return invite, nil
}

// Person is who has a name there: that courtyard's word. Codes: as Get, and
// not-found for what is no name.
func (c *Courtyard) Person(ctx context.Context, username string) (webfinger.Person, error) {
	if !protocol.ValidUsername(username) {
		return webfinger.Person{}, &protocol.Error{Op: "elsewhere.Person", Code: protocol.CodeNotFound}
	}
	key := username + "@" + c.host
	if p, ok := c.lookups.found.get(key); ok {
		return p, nil
	}
	answer, err := c.Get(ctx, webfinger.Query(username, c.host), webfinger.MediaType, webfinger.Most)
	if err != nil {
		return webfinger.Person{}, err
	}
	p, err := webfinger.Read(answer.Body)
	if err != nil {
		return webfinger.Person{}, nonsense(err.Error())
	}
	c.lookups.found.put(key, p)
	return p, nil
}

func (c *Courtyard) read(ctx context.Context, path string, most int64, v any) error {
	var answer reach.Answer
	answer, err := c.Get(ctx, path, jsonType, most)
	if err != nil {
		return err
	}
	if err := protocol.DecodeOpen(answer.Body, v, 8); err != nil {
		return nonsense(err.Error())
	}
	return nil
}

// nonsense is an answer of a courtyard that has lost its mind, or is none: no
// answer that anybody can use.
func nonsense(reason string) error {
	return protocol.Refuse("elsewhere.read", protocol.CodePeerAway, reason)
}
