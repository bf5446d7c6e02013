package hometest

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/courtyard-social/courtyard/homedb/internal/clock"
	"github.com/courtyard-social/courtyard/homedb/internal/friends"
	"github.com/courtyard-social/courtyard/homedb/internal/gate"
	"github.com/courtyard-social/courtyard/homedb/internal/link"
	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/handshake"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/protocol/letter"
	"github.com/courtyard-social/courtyard/protocol/message"
	"github.com/courtyard-social/courtyard/protocol/vault"
	"github.com/courtyard-social/courtyard/relay"
)

// App is somebody's phone.
type App struct {
	*Courtyard
	UID      protocol.UID
	Name     string
	Username string
	Keys     *ident.DeviceKeys
	Gate     *gate.Gate
	Secrets  []ident.UEKSecret // the daily keys this device knows

	line *link.Line
	end  func()
	mu   sync.Mutex // guards what follows
	rows []Row
	live [][]byte
	seq  int64
	mine *ident.Chain                  // as this device has published it last; nil: to be fetched
	met  map[protocol.UID]*ident.Chain // other people's, as they were seen last
	seen chan struct{}                 // closed and replaced when rows or live grow
}

// Row is what the relay delivered.
type Row struct {
	N int64
	*protocol.Envelope
}

func (c *Courtyard) newApp(username string) *App {
	c.Helper()
	keys, err := ident.GenerateDeviceKeys(Random)
	if err != nil {
		c.Fatal(err)
	}
	return &App{Courtyard: c, Name: "Ms " + username, Username: username, Keys: keys, Gate: c.Gate(), seen: make(chan struct{})}
}

// Now is the courtyard's time, ms.
func (c *Courtyard) Now() int64 { return clock.Millis(c.Clock) }

// Owner claims the courtyard.
func (c *Courtyard) Owner(username string) *App {
	c.Helper()
	claim, err := relay.Claim(c.dir)
	if err != nil {
		c.Fatal(err)
	}
	token := protocol.ID(claim.Token.Expose())
	a := c.newApp(username)
	a.join(map[string]any{"claim": token})
	return a
}

// Guest joins by an invite of by; the two are contacts. The invite is in by's vault.
func (c *Courtyard) Guest(by *App, username string) *App {
	c.Helper()
	return c.JoinBy(by.Invite(), username)
}

// JoinBy joins by an invite that somebody made before.
func (c *Courtyard) JoinBy(invite vault.Invite, username string) *App {
	c.Helper()
	a := c.newApp(username)
	a.join(map[string]any{"invite": invite.ID})
	return a
}

// Invite makes an invite and puts it into the vault.
func (a *App) Invite() vault.Invite {
	a.Helper()
	a.Clock.Advance(2 * time.Second) // a relay takes 30 invites a minute from a person
	invite, err := vault.NewInvite(Random, a.Now())
	a.must(err)
	card, err := vault.SealInviteCard(invite, a.UID, vault.InviteCard{Name: a.Name})
	a.must(err)
	a.post("/api/1/invites", map[string]any{"id": handshake.InviteHash(invite.ID), "card": protocol.Bytes(card)})
	a.ChangeVault(func(c *vault.Contents) { c.Invites = append(c.Invites, invite) })
	return invite
}

func (a *App) must(err error) {
	a.Helper()
	if err != nil {
		a.Fatal(err)
	}
}

func (a *App) join(more map[string]any) {
	a.Helper()
	genesis, uid, err := ident.NewGenesis(Random, a.Keys, a.Relay, a.Now())
	a.must(err)
	a.UID = uid
	chain, err := ident.ParseChain([]protocol.Signed{genesis})
	a.must(err)
	secret, err := protocol.NewBoxSecret(Random)
	a.must(err)
	uek, err := ident.NewUEKRecord(a.Keys, chain, nil, secret.Public(), a.Now())
	a.must(err)
	k := ident.UEKSecret{Counter: 1, Secret: secret}
	a.Secrets = append(a.Secrets, k)
	sealed, err := vault.Seal(Random, a.Keys, uid, 1, vault.Slots(chain, a.Now()), vault.Contents{V: 1, Username: a.Username, Name: a.Name,
		UEKs: []vault.UEK{vault.NewUEK(k, a.Now())}, Rest: protocol.Rest{"app": json.RawMessage(`{"own":"words"}`)}})
	a.must(err)
	a.lanes.moves(a)
	body := map[string]any{"username": a.Username, "chain": []protocol.Signed{genesis}, "uek": uek, "vault": sealed}
	for k, v := range more {
		body[k] = v
	}
	a.post("/api/1/join", body)
	a.Connect()
}

// Connect opens the app: the socket stays open until Close or the test's end.
func (a *App) Connect() {
	a.Helper()
	instance, err := protocol.NewID(Random)
	a.must(err)
	ctx, stop := context.WithCancel(context.Background())
	up, done := make(chan *link.Line, 1), make(chan struct{})
	l := link.New(link.Config{UID: a.UID, Keys: a.Keys, Instance: instance, Host: a.Place.Host, RelayKey: a.Relay.Key,
		Dial: link.Dialer(a.Gate), Clock: clock.System{}, Random: Random, Jitter: rand.New(rand.NewPCG(1, 2)),
		Log: slog.New(slog.DiscardHandler), Dropped: func() {}, State: func(link.State, error) {}, FramesPerSecond: 1e6})
	go func() {
		defer close(done)
		l.Run(ctx, func(ctx context.Context, line *link.Line) {
			select {
			case up <- line:
			default:
			}
			a.listen(ctx, line)
		})
	}()
	a.end = sync.OnceFunc(func() { stop(); <-done })
	a.Cleanup(a.end)
	a.line = <-up
}

// Close closes the app.
func (a *App) Close() { a.end() }

// Again opens the app anew, as soon as its relay answers.
func (a *App) Again() {
	a.Helper()
	a.Close()
	a.Connect()
}

func (a *App) listen(ctx context.Context, line *link.Line) {
	for {
		select {
		case <-ctx.Done():
			return
		case d := <-line.Deliveries:
			e, err := protocol.ParseEnvelope(d.Raw)
			if err != nil {
				a.Errorf("delivered: %v", err)
				return
			}
			a.grow(func() { a.rows = append(a.rows, Row{d.N, e}) })
			if line.Confirm(ctx, d.N) != nil {
				return
			}
		case raw := <-line.Live:
			a.grow(func() { a.live = append(a.live, raw) })
		case <-line.Notices:
		}
	}
}

func (a *App) grow(do func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	do()
	close(a.seen)
	a.seen = make(chan struct{})
}

// Token is the bearer token of the socket.
func (a *App) Token() string { return a.line.Ready.Token }

// post sends JSON to the relay with the token, if there is one yet.
func (a *App) post(path string, v any) {
	a.Helper()
	a.must(a.Try("POST", path, v))
}

// Chain is the own chain, fresh from the relay.
func (a *App) Chain() *ident.Chain { return a.ChainOf(a.UID) }

// ChainOf is anybody's chain; that of somebody elsewhere as it was seen last, while
// their courtyard does not answer.
func (a *App) ChainOf(uid protocol.UID) *ident.Chain {
	a.Helper()
	records, err := a.Gate.ChainAt(context.Background(), a.tokenFor(uid), a.lanes.from(a.Courtyard, uid), uid, -1)
	a.mu.Lock()
	met := a.met[uid]
	a.mu.Unlock()
	if protocol.CodeOf(err) == protocol.CodePeerAway && met != nil {
		return met
	}
	a.must(err)
	chain, err := ident.ParseChain(records)
	a.must(err)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.met == nil {
		a.met = map[protocol.UID]*ident.Chain{}
	}
	a.met[uid] = chain
	return chain
}

// Publish puts a record into the own chain.
func (a *App) Publish(rec protocol.Signed, err error) {
	a.Helper()
	a.must(err)
	a.post("/api/1/chains/"+a.UID.String(), rec)
	a.mu.Lock()
	a.mine = nil
	a.mu.Unlock()
}

// writing is the own chain to name in letters.
func (a *App) writing() *ident.Chain {
	a.Helper()
	a.mu.Lock()
	chain := a.mine
	a.mu.Unlock()
	if chain == nil {
		chain = a.Chain()
		a.mu.Lock()
		a.mine = chain
		a.mu.Unlock()
	}
	return chain
}

// UEKOf is somebody's newest record.
func (a *App) UEKOf(uid protocol.UID) ident.UEKRecord {
	a.Helper()
	signed, err := a.Gate.UEKAt(context.Background(), a.tokenFor(uid), a.lanes.from(a.Courtyard, uid), uid)
	a.must(err)
	rec, err := ident.VerifyUEK(signed, a.ChainOf(uid))
	a.must(err)
	return rec
}

// lastUEK is the own newest record, also if its signer has been revoked since.
func (a *App) lastUEK() ident.UEKRecord {
	a.Helper()
	signed, err := a.Gate.UEK(context.Background(), a.UID)
	a.must(err)
	var p struct {
		Counter int64 `json:"counter"`
	}
	a.must(protocol.DecodeOpen(signed.Payload, &p, 2))
	return ident.UEKRecord{Counter: p.Counter, Hash: protocol.Hash("uek", signed.Payload)}
}

// lastKey is the key of a record.
func (a *App) lastKey(signed protocol.Signed) protocol.Key32 {
	var p struct {
		Key protocol.Key32 `json:"key"`
	}
	a.must(protocol.DecodeOpen(signed.Payload, &p, 2))
	return p.Key
}

// NewUEK issues a daily key as a device does while there is no home: first the
// secret into the vault, then the record.
func (a *App) NewUEK() {
	a.Helper()
	last := a.lastUEK()
	secret, err := protocol.NewBoxSecret(Random)
	a.must(err)
	k := ident.UEKSecret{Counter: last.Counter + 1, Secret: secret}
	a.Secrets = append(a.Secrets, k)
	a.ChangeVault(func(c *vault.Contents) { c.UEKs = append(c.UEKs, vault.NewUEK(k, a.Now())) })
	rec, err := ident.NewUEKRecord(a.Keys, a.Chain(), &last, secret.Public(), a.Now())
	a.must(err)
	a.post("/api/1/ueks", rec)
}

// Vault opens the own vault.
func (a *App) Vault() vault.Contents {
	a.Helper()
	_, contents := a.vault()
	return contents
}

func (a *App) vault() (vault.Sealed, vault.Contents) {
	a.Helper()
	raw, err := a.Gate.Vault(context.Background(), a.Token())
	a.must(err)
	var sealed vault.Sealed
	a.must(protocol.DecodeOpen(raw, &sealed, 2))
	contents, err := vault.Open(sealed, friends.AsWritten(a.Chain(), sealed.By), a.Now(), a.Keys.Box())
	a.must(err)
	return sealed, contents
}

// ChangeVault writes the vault, sealed for all that the chain lists now.
func (a *App) ChangeVault(do func(*vault.Contents)) {
	a.Helper()
	for {
		old, contents := a.vault()
		do(&contents)
		sealed, err := vault.Seal(Random, a.Keys, a.UID, old.Version+1, vault.Slots(a.Chain(), a.Now()), contents)
		a.must(err)
		err = a.Gate.PutVault(context.Background(), a.Token(), sealed)
		if protocol.CodeOf(err) == protocol.CodeVaultConflict {
			continue
		}
		a.must(err)
		return
	}
}

// Sent is a letter that left.
type Sent struct {
	Mid      protocol.ID
	Hash     protocol.Hash32
	Envelope *protocol.Envelope
	Kept     []protocol.UID
}

// Draft is a letter that a test wants otherwise than usual.
type Draft struct {
	Type, Kind string
	Mid        protocol.ID
	Clock      int64
	TS         int64
	Body       message.Body
	Raw        []byte // instead of Body
	Slots      []protocol.Key32
	Keys       *ident.DeviceKeys // instead of the app's own
	Meta       func(*message.Meta)
	Alone      bool // not put to oneself
}

// Says writes a chat text to somebody and to oneself.
func (a *App) Says(to *App, text string) Sent {
	a.Helper()
	return a.Sends(to.UID, Draft{Type: "chat", Kind: message.KindText, Body: message.Text{Text: text}})
}

// Sends seals a letter and puts it.
func (a *App) Sends(to protocol.UID, d Draft) Sent {
	a.Helper()
	s, err := a.TrySend(to, d)
	a.must(err)
	return s
}

// TrySend is Sends for a letter that the relay may refuse.
func (a *App) TrySend(to protocol.UID, d Draft) (Sent, error) {
	a.Helper()
	e, sent := a.Seal(to, d)
	people := []protocol.UID{to}
	if !d.Alone && to != a.UID {
		people = append(people, a.UID)
	}
	kept, err := a.line.Put(context.Background(), people, link.Marks{}, e)
	sent.Kept = kept
	return sent, err
}

// Seal makes a letter without sending it.
func (a *App) Seal(to protocol.UID, d Draft) (*protocol.Envelope, Sent) {
	a.Helper()
	id, err := protocol.NewID(Random)
	a.must(err)
	if d.Mid.IsZero() {
		d.Mid, err = protocol.NewID(Random)
		a.must(err)
	}
	if d.TS == 0 {
		d.TS = a.Now()
	}
	if d.Clock == 0 {
		d.Clock = d.TS
	}
	if d.Slots == nil {
		d.Slots = []protocol.Key32{a.UEKOf(to).Key}
		if !d.Alone && to != a.UID {
			d.Slots = append(d.Slots, a.UEKOf(a.UID).Key)
		}
	}
	keys := a.Keys
	if d.Keys != nil {
		keys = d.Keys
	}
	a.mu.Lock()
	a.seq++
	seq := a.seq
	a.mu.Unlock()
	chain := a.writing()
	meta := message.Meta{Kind: d.Kind, MID: d.Mid, Dev: keys.ID(), Seq: seq, Clock: d.Clock, Head: chain.Head(), Chain: chain.Seq()}
	if d.Meta != nil {
		d.Meta(&meta)
	}
	rawMeta, err := meta.Marshal()
	a.must(err)
	body := d.Raw
	if body == nil {
		body, err = message.MarshalBody(d.Body)
		a.must(err)
	}
	address := protocol.Address{IP: a.Relay.Host, Port: a.Relay.Port, Username: a.Username}
	e := &protocol.Envelope{V: 1, ID: id, TS: d.TS, From: address, To: address, Type: d.Type}
	e.From.ID, e.To.ID, e.To.Username = a.UID, to, ""
	if there := a.lanes.of(to); there != nil {
		e.To.IP, e.To.Port = there.Relay.Host, there.Relay.Port
	}
	e.Data, err = letter.Seal(Random, e, keys, d.Slots, rawMeta, body)
	a.must(err)
	return e, Sent{Mid: d.Mid, Hash: letter.Hash(e.H(), e.Data), Envelope: e}
}

// Put gives an envelope to the relay as it is.
func (a *App) Put(to []protocol.UID, e *protocol.Envelope) error {
	_, err := a.line.Put(context.Background(), to, link.Marks{}, e)
	return err
}

// Opened is a letter that the app could read.
type Opened struct {
	Row
	Meta message.Meta
	Body message.Body
	Hash protocol.Hash32
}

// Open opens a row with the keys this device knows.
func (a *App) Open(r Row) (Opened, bool) {
	o, err := letter.Open(r.Envelope, a.Secrets, func(uid protocol.UID, dev protocol.DeviceID, _ []byte) (ident.Device, bool, error) {
		d, ok := a.ChainOf(uid).Device(dev)
		return d, ok, nil
	})
	if err != nil {
		return Opened{}, false
	}
	meta, err := message.ParseMeta(o.Meta)
	a.must(err)
	body, err := message.ParseBody(r.Type, meta.Kind, o.Body)
	a.must(err)
	return Opened{r, meta, body, o.Hash}, true
}

// Await waits for a letter that fits.
func (a *App) Await(what string, fits func(Opened) bool) Opened {
	a.Helper()
	next := 0
	timeout, stop := context.WithTimeout(context.Background(), Patience)
	defer stop()
	for {
		a.mu.Lock()
		rows, seen := slices.Clone(a.rows[next:]), a.seen
		a.mu.Unlock()
		next += len(rows)
		for _, r := range rows {
			if o, ok := a.Open(r); ok && fits(o) {
				return o
			}
		}
		select {
		case <-seen:
		case <-timeout.Done():
			a.Fatalf("%s never got %s", a.Username, what)
		}
	}
}

// Letters are all letters so far that this device could open.
func (a *App) Letters() []Opened {
	a.mu.Lock()
	rows := slices.Clone(a.rows)
	a.mu.Unlock()
	var out []Opened
	for _, r := range rows {
		if o, ok := a.Open(r); ok {
			out = append(out, o)
		}
	}
	return out
}

// Ticked waits for the home receipt of a letter.
func (a *App) Ticked(s Sent) Opened {
	a.Helper()
	return a.Await("a home receipt", func(o Opened) bool {
		h, ok := o.Body.(message.Home)
		return ok && slices.Contains(h.Items, message.Item{MID: s.Mid, Hash: s.Hash})
	})
}

// Ticks counts the home receipts for a message so far.
func (a *App) Ticks(mid protocol.ID) int {
	n := 0
	for _, o := range a.Letters() {
		if h, ok := o.Body.(message.Home); ok {
			for _, i := range h.Items {
				if i.MID == mid {
					n++
				}
			}
		}
	}
	return n
}

// Kept is how many rows the relay holds for this person.
func (a *App) Kept() int {
	a.Helper()
	rows, _, err := a.Gate.Keep(context.Background(), a.Token(), 0, 100)
	a.must(err)
	return len(rows)
}

// Upload seals bytes as a file for somebody and oneself.
func (a *App) Upload(to *App, plain []byte) message.File {
	a.Helper()
	f, sealed := a.SealsFile(plain)
	a.Uploads(to, f, sealed)
	return f
}

// SealsFile seals bytes as a file without uploading it.
func (a *App) SealsFile(plain []byte) (message.File, []byte) {
	a.Helper()
	var sealed buffer
	f, err := letter.SealFile(Random, &sealed, bytesReader(plain), "image/jpeg")
	a.must(err)
	if sha256.Sum256(plain) != f.Hash {
		a.Fatal("hash of a file")
	}
	return f, sealed
}

// Uploads uploads a file that was sealed before.
func (a *App) Uploads(to *App, f message.File, sealed []byte) {
	a.Helper()
	a.must(a.putFile(f.ID, sealed, to))
}
