package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

const (
	// combinationTime bounds a combination, stepTime what somebody does in it, photoTime
	// a photo from one to the other: drawing, sealing and showing 17 MB keep two cores
	// busy that have other things to do.
	combinationTime = 6 * time.Minute
	stepTime        = 45 * time.Second
	photoTime       = 2 * time.Minute
	// heavy is what is left at least of a photo of more than 20 MB when the app has drawn it
	// anew, smallest of the one that the home keeps.
	heavy    = 16e6
	smallest = 200e3
)

// outcome is a row of the table.
type outcome struct {
	of     combination
	ready  time.Duration // until both are connected to the courtyard
	chat   time.Duration // until the other has read a word
	home   string        // the way to the home, and when it was there
	kept   time.Duration // until a photo that only the home has was on the phone
	friend string        // the same to the friend
	photo  time.Duration // until the friend has saved it
	call   string
	failed int
}

// at calls everybody to their places, with nothing running that knew another network.
func (l *lab) arrange(ctx context.Context, c combination) error {
	if err := errors.Join(l.mei.end(ctx), l.tom.end(ctx), l.yard.stopHome()); err != nil {
		return err
	}
	if l.net.behind != c.behind {
		if err := errors.Join(l.yard.stopRelay(), l.net.placeRelay(ctx, c.behind)); err != nil {
			return err
		}
	}
	if err := errors.Join(l.net.flat.become(ctx, c.phone), l.net.house.become(ctx, c.home), l.net.cafe.become(ctx, c.friend)); err != nil {
		return err
	}
	phone, friend := l.net.flat, l.net.cafe
	phoneN, friendN := innermost, innermost
	if c.together != apart {
		phone, phoneN = l.net.house, innermost+1
	}
	if c.together == all {
		friend, friendN = l.net.house, innermost+2
	}
	if err := errors.Join(l.net.phone.move(ctx, "wifi", phone, phoneN), l.net.friend.move(ctx, "wifi", friend, friendN)); err != nil {
		return err
	}
	if l.yard.relay == nil {
		if err := l.yard.startRelay(ctx); err != nil {
			return err
		}
	}
	return errors.Join(l.yard.startHome(ctx), both(func() error { return l.mei.begin(ctx) }, func() error { return l.tom.begin(ctx) }))
}

// both does two things at once.
func both(one, two func() error) error {
	var group sync.WaitGroup
	var first, second error
	group.Go(func() { first = one() })
	group.Go(func() { second = two() })
	group.Wait()
	return errors.Join(first, second)
}

// play looks at everything in one combination.
func (l *lab) play(ctx context.Context, number int, c combination) outcome {
	ctx, stop := context.WithTimeout(ctx, combinationTime)
	defer stop()
	r := outcome{of: c}
	before := l.failed
	l.say("%d: %s", number, c)
	steps := []struct {
		what string
		time time.Duration
		look func(context.Context, *outcome) error
	}{
		{"start", stepTime, func(ctx context.Context, _ *outcome) error { return l.arrange(ctx, c) }},
		{"open", stepTime, l.open},
		{"home", stepTime, l.reachHome},
		{"kept", stepTime, l.kept},
		{"chat", stepTime, l.chat},
		{"friend", stepTime, l.reachFriend},
		{"photo", photoTime, l.photo},
		{"call", stepTime, l.call},
		{"network", stepTime, l.network},
	}
	for _, step := range steps {
		within, over := context.WithTimeout(ctx, step.time)
		err := step.look(within, &r)
		over()
		if err != nil {
			l.trouble(ctx, fmt.Sprintf("%d: %s: %s", number, c, step.what), err)
		}
		if err != nil && step.what == "start" {
			break
		}
	}
	r.failed = l.failed - before
	return r
}

// trouble counts what could not be looked at as failed, and keeps what is on the screens.
func (l *lab) trouble(ctx context.Context, what string, err error) {
	l.equal(what, err, nil)
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer stop()
	for _, p := range []*person{l.mei, l.tom} {
		if !p.open {
			continue
		}
		var complaints []string
		if err := p.sees(ctx, "complaints", &complaints); err != nil || len(complaints) > 0 {
			fmt.Fprintf(l.out, "         the page of %s complains: %s %v\n", p.name, strings.Join(complaints, "; "), err)
		}
		path := filepath.Join(l.dir, fmt.Sprintf("%s-%d.png", p.at.Space, l.failed))
		if err := p.does(ctx, "picture", map[string]string{"path": path}); err != nil {
			fmt.Fprintf(l.out, "         no picture: %v\n", err)
		}
	}
}

// open opens the app, first the friend's: they send a photo and look elsewhere, and the
// home takes it from the relay. Then nobody but the home has it.
func (l *lab) open(ctx context.Context, r *outcome) error {
	if err := l.tom.opensApp(ctx, l.yard); err != nil {
		return err
	}
	if err := l.tom.opens(ctx, l.mei); err != nil {
		return err
	}
	var err error
	if l.keepsake, err = l.fileAway(ctx, l.small); err != nil {
		return err
	}
	if l.keepsake.bytes, err = l.saved(ctx, l.tom, l.keepsake); err != nil {
		return err
	}
	if err := l.tom.does(ctx, "leave", nil); err != nil {
		return err
	}
	began := time.Now()
	err = l.mei.opensApp(ctx, l.yard)
	r.ready = time.Since(began)
	return err
}

// fileAway has the friend send a photo, and waits until the home has it.
func (l *lab) fileAway(ctx context.Context, file photo) (sent, error) {
	before, err := l.yard.filed()
	if err != nil {
		return sent{}, err
	}
	s, err := l.sendPhoto(ctx, l.tom, file)
	if err != nil {
		return s, err
	}
	return s, until(ctx, func(context.Context) (bool, error) {
		now, err := l.yard.filed()
		return now > before, err
	})
}

func (p *person) opensApp(ctx context.Context, yard *courtyard) error {
	return p.does(ctx, "open", map[string]string{"url": yard.url() + "/app/"})
}

func (p *person) opens(ctx context.Context, with *person) error {
	return p.does(ctx, "chat", map[string]string{"name": with.name})
}

// reachHome looks which way the phone is connected to the home. Where that is the link
// through the courtyard, which is there already, a direct one is tried, and none may come about.
func (l *lab) reachHome(ctx context.Context, r *outcome) error {
	want := r.of.toHome()
	if want == relayed {
		r.home = string(relayed)
		return l.mei.tried(ctx, toHome)
	}
	got, err := l.mei.goes(ctx, toHome, l.house(), want)
	if err != nil {
		return err
	}
	r.home = l.told(got) + got.since()
	l.equal("the home is reached", got.Pair.way(l.house()), want)
	return nil
}

// kept looks at the photo that only the home has: history and photos come the way that
// was found, and the app says so.
func (l *lab) kept(ctx context.Context, r *outcome) error {
	before, err := l.mei.received(ctx, toHome)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := l.mei.opens(ctx, l.tom); err != nil {
		return err
	}
	got, err := l.saved(ctx, l.mei, l.keepsake)
	if err != nil {
		return err
	}
	l.equalPhotos(got, l.keepsake, "from the home: ")
	r.kept = time.Since(began)
	after, err := l.mei.received(ctx, toHome)
	if err != nil {
		return err
	}
	l.equal("from the home: it came beside the courtyard", after-before > smallest, r.of.toHome() != relayed)
	var said string
	if err := l.mei.sees(ctx, "way", &said); err != nil {
		return err
	}
	l.equal("the conversation says", said, "your home: "+map[way]string{lan: "at home, in your network", direct: "direct", relayed: "through your courtyard"}[r.of.toHome()])
	return nil
}

// chat: each writes, and the other reads.
func (l *lab) chat(ctx context.Context, r *outcome) error {
	if err := l.tom.opens(ctx, l.mei); err != nil {
		return err
	}
	wrote := time.Now()
	for _, pair := range [][2]*person{{l.mei, l.tom}, {l.tom, l.mei}} {
		l.words++
		said, seen := fmt.Sprintf("word %d.", l.words), ""
		if err := pair[0].does(ctx, "say", map[string]string{"text": said}); err != nil {
			return err
		}
		if err := pair[1].driver.does(ctx, string(pair[1].at.Space), "see", map[string]string{"text": said}, &seen); err != nil {
			return err
		}
		l.equal("on the screen of "+pair[1].name, strings.Contains(seen, said), true)
	}
	r.chat = time.Since(wrote) / 2
	return nil
}

func (l *lab) reachFriend(ctx context.Context, r *outcome) error {
	got, err := l.mei.goes(ctx, toFriend, l.house(), r.of.toFriend())
	if err != nil {
		return l.withFriend(err)
	}
	r.friend = l.told(got) + got.since()
	l.equal("the friend is reached", got.Pair.way(l.house()), r.of.toFriend())
	l.lent(got, r)
	return nil
}

// withFriend adds how the connections look from the other side.
func (l *lab) withFriend(err error) error {
	ctx, stop := context.WithTimeout(context.Background(), 5*time.Second)
	defer stop()
	all, unseen := l.tom.peers(ctx)
	return errors.Join(fmt.Errorf("%w; at the friend's %s", err, described(all)), unseen)
}

// lent looks how the phone gets to the address that it was lent, if it uses one.
func (l *lab) lent(p peer, r *outcome) {
	if p.Pair.Local == "relay" {
		l.equal("the relay is reached by", p.Pair.Relayed, r.of.lends())
	}
}

func (l *lab) house() netip.Prefix { return netip.MustParsePrefix(l.net.house.host(0) + "/24") }

func (l *lab) told(p peer) string {
	out := string(p.Pair.way(l.house()))
	if p.Pair.Local == "relay" {
		out += " " + p.Pair.Relayed
	}
	return out
}

// network looks what Diagnostics says of the phone's network, and of the way to the home.
func (l *lab) network(ctx context.Context, r *outcome) error {
	var said string
	if err := l.mei.sees(ctx, "diagnosis", &said); err != nil {
		return err
	}
	path := map[way]string{lan: "within your own network (WebRTC).", direct: "from your home directly (WebRTC).", relayed: "through your courtyard (relay)."}[r.of.toHome()]
	for _, want := range []string{r.of.class(), path} {
		got := said
		if strings.Contains(said, want) {
			got = want // all else that it says is of no interest
		}
		l.equal("Diagnostics says", got, want)
	}
	if r.of.toHome() == relayed {
		_, open, err := l.mei.now(ctx, toHome)
		if err != nil {
			return err
		}
		l.equal("there is no connection beside the courtyard", !open, true)
	}
	return nil
}

// photo sends one of more than 20 MB in full size.
func (l *lab) photo(ctx context.Context, r *outcome) error {
	began := time.Now()
	sent, err := l.sendPhoto(ctx, l.mei, l.picture)
	if err != nil {
		return err
	}
	if err := l.savePhoto(ctx, l.tom, sent, ""); err != nil {
		return err
	}
	r.photo = time.Since(began)
	return nil
}

// sent is a photo that somebody has sent.
type sent struct {
	by      *person
	caption string // by which it is known
	atLeast int    // bytes
	bytes   []byte // as the sender's own browser saves it, if it was asked
}

// sendPhoto returns when it is on its way.
func (l *lab) sendPhoto(ctx context.Context, by *person, file photo) (sent, error) {
	l.words++
	s := sent{by: by, caption: fmt.Sprintf("photo %d.", l.words), atLeast: file.atLeast}
	return s, by.does(ctx, "sendPhoto", map[string]string{"path": file.path, "caption": s.caption})
}

// savePhoto looks whether what the other one saves is what was sent, byte for byte.
func (l *lab) savePhoto(ctx context.Context, by *person, s sent, when string) error {
	got, err := l.saved(ctx, by, s)
	if err != nil {
		return err
	}
	if s.bytes, err = l.saved(ctx, s.by, s); err != nil {
		return err
	}
	l.equalPhotos(got, s, when)
	return nil
}

func (l *lab) equalPhotos(got []byte, s sent, when string) {
	hash := func(raw []byte) string { return fmt.Sprintf("%x", sha256.Sum256(raw)) }
	l.equal(when+"the photo that arrives is", hash(got), hash(s.bytes))
	l.equal(when+"it is as heavy as it should be", len(got) > s.atLeast && bytes.HasPrefix(got, []byte{0xff, 0xd8}), true)
}

// saved is the photo as somebody's browser saves it.
func (l *lab) saved(ctx context.Context, by *person, s sent) ([]byte, error) {
	path := filepath.Join(l.dir, string(by.at.Space)+".jpg")
	if err := by.does(ctx, "savePhoto", map[string]string{"caption": s.caption, "path": path, "patience": fmt.Sprint(photoTime.Milliseconds())}); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
}
