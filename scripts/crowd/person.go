package crowd

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/handshake"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/protocol/vault"
)

// Random is the machine's randomness.
var Random io.Reader = rand.Reader

// Now is the time, ms.
func Now() int64 { return time.Now().UnixMilli() }

// Person is somebody with an account, and their one browser.
type Person struct {
	Yard     *Yard
	Client   *http.Client
	Username string
	UID      protocol.UID
	Keys     *ident.DeviceKeys
	Chain    *ident.Chain
	Secret   ident.UEKSecret // made at the join; a home issues others
	contents vault.Contents
	UEK      ident.UEKRecord // the newest: what letters to them are sealed to
	Token    string
	clock    int64 // of the last letter, ms
}

// Newcomer makes keys, the first record, daily key and vault, and the body of a join.
func (y *Yard) Newcomer(username string) (*Person, map[string]any, error) {
	keys, err := ident.GenerateDeviceKeys(Random)
	if err != nil {
		return nil, nil, err
	}
	genesis, uid, err := ident.NewGenesis(Random, keys, y.At, Now())
	if err != nil {
		return nil, nil, err
	}
	chain, err := ident.ParseChain([]protocol.Signed{genesis})
	if err != nil {
		return nil, nil, err
	}
	box, err := protocol.NewBoxSecret(Random)
	if err != nil {
		return nil, nil, err
	}
	uek, err := ident.NewUEKRecord(keys, chain, nil, box.Public(), Now())
	if err != nil {
		return nil, nil, err
	}
	p := &Person{Yard: y, Client: y.Caller(), Username: username, UID: uid, Keys: keys, Chain: chain, Secret: ident.UEKSecret{Counter: 1, Secret: box}}
	if p.UEK, err = ident.VerifyUEK(uek, chain); err != nil {
		return nil, nil, err
	}
	p.contents = vault.Contents{V: 1, Username: username, Name: username, UEKs: []vault.UEK{vault.NewUEK(p.Secret, Now())}}
	sealed, err := vault.Seal(Random, keys, uid, 1, vault.Slots(chain, Now()), p.contents)
	return p, map[string]any{"username": username, "chain": []protocol.Signed{genesis}, "uek": uek, "vault": sealed}, err
}

// Invite puts an invite at the relay.
func (p *Person) Invite(ctx context.Context) (protocol.ID, error) {
	i, err := vault.NewInvite(Random, Now())
	if err != nil {
		return protocol.ID{}, err
	}
	card, err := vault.SealInviteCard(i, p.UID, vault.InviteCard{Name: p.Username})
	if err != nil {
		return protocol.ID{}, err
	}
	return i.ID, p.Call(ctx, "POST", "/api/1/invites", map[string]any{"id": handshake.InviteHash(i.ID), "card": protocol.Bytes(card)}, nil)
}

// Befriend makes the two contacts of each other.
func (p *Person) Befriend(ctx context.Context, q *Person) error {
	allow := map[string]any{"state": "allow"}
	return errors.Join(p.Call(ctx, "PUT", "/api/1/contacts/"+q.UID.String(), allow, nil), q.Call(ctx, "PUT", "/api/1/contacts/"+p.UID.String(), allow, nil))
}

// approve is the app's part of a pairing.
func (p *Person) approve(ctx context.Context, code handshake.Code) error {
	box := "/api/1/pair/" + code.Mailbox().String() + "/"
	me, _ := p.Chain.Device(p.Keys.ID())
	approver, a1, err := handshake.NewApprover(Random, code, p.UID, me, p.Yard.At.Key, p.Yard.Host)
	if err != nil {
		return err
	}
	if err := p.Call(ctx, "PUT", box+"a1", a1, nil); err != nil {
		return err
	}
	var n1, n2 []byte
	if err := p.Call(ctx, "GET", box+"n1", nil, &n1); err != nil {
		return err
	}
	home, err := approver.Newcomer(n1)
	if err != nil {
		return err
	}
	record, err := p.Chain.NewDeviceAdd(p.Keys, home, Now())
	if err != nil {
		return err
	}
	if err := errors.Join(p.Call(ctx, "POST", "/api/1/chains/"+p.UID.String(), record, nil), p.Chain.Append(record)); err != nil {
		return err
	}
	sealed, err := vault.Seal(Random, p.Keys, p.UID, 2, vault.Slots(p.Chain, Now()), p.contents)
	if err != nil {
		return err
	}
	if err := p.Call(ctx, "PUT", "/api/1/vault", sealed, nil); err != nil {
		return err
	}
	a2, err := approver.Approve(p.Username, p.Username)
	if err != nil {
		return err
	}
	if err := p.Call(ctx, "PUT", box+"a2", a2, nil); err != nil {
		return err
	}
	if err := p.Call(ctx, "GET", box+"n2", nil, &n2); err != nil {
		return err
	}
	return approver.Done(n2)
}

// Learn fetches the newest daily key.
func (p *Person) Learn(ctx context.Context) error {
	var signed protocol.Signed
	if err := p.Call(ctx, "GET", "/api/1/ueks/"+p.UID.String(), nil, &signed); err != nil {
		return err
	}
	var err error
	p.UEK, err = ident.VerifyUEK(signed, p.Chain)
	return err
}

// Waiting reports whether the relay holds letters for p.
func (p *Person) Waiting(ctx context.Context) (bool, error) {
	var page struct {
		Rows []json.RawMessage `json:"rows"`
	}
	err := p.Call(ctx, "GET", "/api/1/keep?limit=1", nil, &page)
	return len(page.Rows) > 0, err
}

func (p *Person) Call(ctx context.Context, method, path string, body, into any) error {
	return Call(ctx, p.Client, method, p.Yard.URL+path, p.Token, body, into)
}

// Call makes a request. body is nil, bytes or anything that is written as JSON;
// into likewise nil, *[]byte or for JSON.
func Call(ctx context.Context, client *http.Client, method, url, token string, body, into any) error {
	var content io.Reader = http.NoBody
	kind := "application/json"
	if raw, ok := body.([]byte); ok {
		content, kind = bytes.NewReader(raw), "application/octet-stream"
	} else if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return err
		}
		content = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, url, content)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", kind)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := client.Do(req)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(answer.Body, protocol.MaxJSON))
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: %s: %s", method, req.URL.Path, answer.Status, raw)
	}
	switch into := into.(type) {
	case nil:
		return nil
	case *[]byte:
		*into = raw
		return nil
	default:
		return json.Unmarshal(raw, into)
	}
}
