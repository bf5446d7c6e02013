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
	// heavy is what is left at least of a photo of more than 20 MB when the app has drawn it anew.
	heavy = 16e6
)

// outcome is a row of the table.
type outcome struct {
	of     combination
	ready  time.Duration // until both are connected to the courtyard
	chat   time.Duration // until the other has read a word
	home   string        // the way to the home, and when it was there
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
		{"chat", stepTime, l.chat},
		{"home", stepTime, l.reachHome},
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

// chat opens the app on both sides; each writes, and the other reads.
func (l *lab) chat(ctx context.Context, r *outcome) error {
	began := time.Now()
	url := map[string]string{"url": l.yard.url() + "/app/"}
	if err := both(func() error { return l.mei.does(ctx, "open", url) }, func() error { return l.tom.does(ctx, "open", url) }); err != nil {
		return err
	}
	r.ready = time.Since(began)
	if err := both(func() error { return l.mei.opens(ctx, l.tom) }, func() error { return l.tom.opens(ctx, l.mei) }); err != nil {
		return err
	}
	wrote := time.Now()
	for _, pair := range [][2]*person{{l.mei, l.tom}, {l.tom, l.mei}} {
		l.words++
		text := map[string]string{"text": fmt.Sprintf("word %d.", l.words)}
		if err := pair[0].does(ctx, "say", text); err != nil {
			return err
		}
		if err := pair[1].does(ctx, "see", text); err != nil {
			return err
		}
	}
	r.chat = time.Since(wrote) / 2
	l.equal("chat arrives both ways", true, true)
	return nil
}

func (p *person) opens(ctx context.Context, with *person) error {
	return p.does(ctx, "chat", map[string]string{"name": with.name})
}

// reachHome looks which way the phone is connected to the home.
func (l *lab) reachHome(ctx context.Context, r *outcome) error {
	want := r.of.toHome()
	if want == relayed { // the link that is there already: no connection may come about
		r.home = string(relayed)
		return nil
	}
	got, err := l.mei.goes(ctx, toHome, l.house(), want)
	if err != nil {
		return err
	}
	r.home = l.told(got) + got.since()
	l.equal("the home is reached", got.Pair.way(l.house()), want)
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

// network looks what Diagnostics says of the phone's network.
func (l *lab) network(ctx context.Context, r *outcome) error {
	var said string
	if err := l.mei.sees(ctx, "diagnosis", &said); err != nil {
		return err
	}
	want := r.of.class()
	if strings.Contains(said, want) {
		said = want // all else that it says is of no interest
	}
	l.equal("Diagnostics says", said, want)
	return nil
}

// photo sends one of more than 20 MB in full size.
func (l *lab) photo(ctx context.Context, r *outcome) error {
	began := time.Now()
	caption, err := l.sendPhoto(ctx)
	if err != nil {
		return err
	}
	if err := l.savePhoto(ctx, caption, ""); err != nil {
		return err
	}
	r.photo = time.Since(began)
	return nil
}

// sendPhoto returns when it is on its way, with the caption that it is known by.
func (l *lab) sendPhoto(ctx context.Context) (string, error) {
	l.words++
	caption := fmt.Sprintf("photo %d.", l.words)
	return caption, l.mei.does(ctx, "sendPhoto", map[string]string{"path": l.picture, "caption": caption})
}

// savePhoto looks whether what the friend saves is what was sent, byte for byte.
func (l *lab) savePhoto(ctx context.Context, caption, when string) error {
	theirs, own := filepath.Join(l.dir, "theirs.jpg"), filepath.Join(l.dir, "own.jpg")
	save := func(p *person, path string) error {
		return p.does(ctx, "savePhoto", map[string]string{"caption": caption, "path": path, "patience": fmt.Sprint(photoTime.Milliseconds())})
	}
	if err := save(l.tom, theirs); err != nil {
		return err
	}
	if err := save(l.mei, own); err != nil {
		return err
	}
	got, err := os.ReadFile(theirs)
	if err != nil {
		return err
	}
	sent, err := os.ReadFile(own)
	if err != nil {
		return err
	}
	hash := func(raw []byte) string { return fmt.Sprintf("%x", sha256.Sum256(raw)) }
	l.equal(when+"the photo that arrives is", hash(got), hash(sent))
	l.equal(when+"it is as heavy as photos get", len(got) > heavy && bytes.HasPrefix(got, []byte{0xff, 0xd8}), true)
	return nil
}
