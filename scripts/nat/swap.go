package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"time"
)

const (
	// uploadSpeed is that of the phone while its photo is interrupted, Mbit/s: a heavy one takes half a minute.
	uploadSpeed = 6
	// downloadSpeed is that of the home, likewise.
	downloadSpeed = 12
	// underWay is how much of the photo has left the phone when its network is swapped.
	underWay = 4 << 20
	// aLot of frames are more than can be under way when the network is swapped.
	aLot = 12
	// recovery is how long anything may take to go on after that.
	recovery = time.Minute
)

// leave is the phone going out of the door: its Wi-Fi is gone, and it uses the mobile
// network, which translates addresses in another way.
func (l *lab) leave(ctx context.Context) error {
	return l.net.phone.move(ctx, "mobile", l.net.mobile, innermost)
}

// swap looks whether a call and an upload outlive a change of network.
func (l *lab) swap(ctx context.Context) error {
	l.say("the phone leaves the house in the middle of things: Wi-Fi, then mobile")
	before := combination{phone: port, home: port, friend: port}
	if err := l.net.mobile.become(ctx, symmetric); err != nil {
		return err
	}
	var r outcome
	for _, step := range []struct {
		what string
		do   func(context.Context) error
	}{
		{"start", func(ctx context.Context) error { return l.arrange(ctx, before) }},
		{"open", func(ctx context.Context) error { return l.open(ctx, &r) }},
		{"chat", func(ctx context.Context) error { return errors.Join(l.mei.opens(ctx, l.tom), l.chat(ctx, &r)) }},
		{"call", l.swapCall},
		{"upload", l.swapUpload},
		{"download", l.swapDownload},
	} {
		if l.quick && step.what == "download" {
			continue
		}
		within, over := context.WithTimeout(ctx, photoTime+stepTime)
		err := step.do(within)
		over()
		if err != nil {
			l.trouble(ctx, "swap: "+step.what, err)
			return nil
		}
	}
	return nil
}

// swapCall leaves in the middle of a call and comes back: both go on hearing each other.
func (l *lab) swapCall(ctx context.Context) error {
	if _, err := l.dial(ctx); err != nil {
		return err
	}
	for _, change := range []struct {
		what string
		do   func(context.Context) error
	}{
		{"to mobile", l.leave},
		{"back to Wi-Fi", func(ctx context.Context) error { return l.net.phone.move(ctx, "wifi", l.net.flat, innermost) }},
	} {
		for _, p := range []*person{l.mei, l.tom} {
			if _, err := p.hears(ctx, heard{}); err != nil {
				return err
			}
		}
		if err := change.do(ctx); err != nil {
			return err
		}
		began := time.Now()
		for _, p := range []*person{l.mei, l.tom} {
			// What was under way still comes; what comes after that was sent after the change.
			at, err := p.hears(ctx, heard{})
			if err != nil {
				return err
			}
			if _, err := p.hears(ctx, heard{Frames: at.Heard.Frames + aLot, Energy: at.Heard.Energy}); err != nil {
				return fmt.Errorf("%s, %s: %w", change.what, p.name, err)
			}
		}
		l.equal("swap: the call goes on "+change.what+" within a minute", time.Since(began) < recovery, true)
		l.say("the call went on after %v", time.Since(began).Round(time.Millisecond))
	}
	return l.hangUp(ctx)
}

// swapUpload leaves while a photo is on its way, and writes before and after.
func (l *lab) swapUpload(ctx context.Context) error {
	if err := l.net.phone.slow(ctx, uploadSpeed); err != nil {
		return err
	}
	photo, err := l.sendPhoto(ctx, l.mei, l.picture)
	if err != nil {
		return err
	}
	if err := until(ctx, func(ctx context.Context) (bool, error) {
		sent, err := l.net.phone.sent(ctx)
		return sent > underWay, err
	}); err != nil {
		return fmt.Errorf("the photo does not leave: %w", err)
	}
	if err := l.mei.does(ctx, "say", map[string]string{"text": "leaving."}); err != nil {
		return err
	}
	if err := l.leave(ctx); err != nil {
		return err
	}
	began := time.Now()
	if err := l.mei.does(ctx, "say", map[string]string{"text": "on my way."}); err != nil {
		return err
	}
	for _, text := range []string{"leaving.", "on my way."} {
		if err := l.tom.does(ctx, "see", map[string]string{"text": text}); err != nil {
			return err
		}
	}
	l.equal("swap: words from before and after the change arrive within a minute", time.Since(began) < recovery, true)
	l.say("the words were there after %v", time.Since(began).Round(time.Millisecond))
	if err := l.savePhoto(ctx, l.tom, photo, "swap: "); err != nil {
		return err
	}
	l.say("the photo was there after %v", time.Since(began).Round(time.Millisecond))
	return nil
}

// swapDownload leaves while a photo that only the home has is on its way from there:
// beside the courtyard first, then through it.
func (l *lab) swapDownload(ctx context.Context) error {
	if err := errors.Join(l.mei.end(ctx), l.net.phone.move(ctx, "wifi", l.net.flat, innermost)); err != nil {
		return err
	}
	photo, err := l.fileAway(ctx, l.picture)
	if err != nil {
		return err
	}
	if photo.bytes, err = l.saved(ctx, l.tom, photo); err != nil {
		return err
	}
	// Nobody else can give it.
	if err := errors.Join(l.tom.end(ctx), l.net.home.slow(ctx, downloadSpeed), l.mei.begin(ctx)); err != nil {
		return err
	}
	if err := l.mei.opensApp(ctx, l.yard); err != nil {
		return err
	}
	way, err := l.mei.goes(ctx, toHome, l.house(), direct)
	if err != nil {
		return err
	}
	l.equal("swap: the home is reached", way.Pair.way(l.house()), direct)
	if err := l.mei.opens(ctx, l.tom); err != nil {
		return err
	}
	if err := until(ctx, func(ctx context.Context) (bool, error) {
		got, err := l.mei.received(ctx, toHome)
		return got > underWay, err
	}); err != nil {
		return fmt.Errorf("the photo does not come: %w", err)
	}
	if err := l.leave(ctx); err != nil {
		return err
	}
	began := time.Now()
	got, err := l.saved(ctx, l.mei, photo)
	if err != nil {
		return err
	}
	l.say("the photo from home was there after %v", time.Since(began).Round(time.Millisecond))
	l.equalPhotos(got, photo, "swap: from the home: ")
	_, beside, err := l.mei.now(ctx, toHome)
	l.equal("swap: the rest came through the courtyard", !beside, true)
	return err
}

// sent is how many bytes have left the host by the cable that it uses.
func (h *host) sent(ctx context.Context) (int64, error) {
	line := h.Inside("ip", "-json", "-stats", "link", "show", "dev", h.cable)
	raw, err := exec.CommandContext(ctx, line[0], line[1:]...).Output()
	if err != nil {
		return 0, err
	}
	var links []struct {
		Stats64 struct{ TX struct{ Bytes int64 } }
	}
	if err := json.Unmarshal(raw, &links); err != nil || len(links) != 1 {
		return 0, fmt.Errorf("ip says of %s: %s: %w", h.cable, raw, err)
	}
	return links[0].Stats64.TX.Bytes, nil
}
