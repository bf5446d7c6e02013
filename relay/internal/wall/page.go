package wall

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"strconv"
	"strings"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/post"
	"github.com/courtyard-social/courtyard/relay/internal/reach"
)

//go:embed page.html
var pageText string

//go:embed style.css
var styleText string

// design is what all pages share.
type design struct {
	page   *template.Template
	style  template.CSS
	policy string
	host   string // of this relay, host[:port]
	base   string // https://host[:port]
}

func newDesign(hosts []string) *design {
	base, err := reach.Base(hosts[0])
	if err != nil { // it has been checked when the settings were read
		panic(err)
	}
	d := &design{page: template.Must(template.New("page").Parse(pageText)), style: template.CSS(styleText), host: hosts[0], base: base}
	sum := sha256.Sum256([]byte(styleText))
	// The form leads to the reader's own courtyard, wherever that is; where courtyards
	// are tried out on one machine, without TLS.
	forms := "'self' https:"
	if strings.HasPrefix(base, "http://") {
		forms = "*"
	}
	d.policy = strings.Join([]string{
		"default-src 'none'",
		"img-src 'self'",
		"style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'",
		"base-uri 'none'",
		"form-action " + forms,
		"frame-ancestors 'none'",
		"sandbox allow-forms allow-top-navigation-by-user-activation",
	}, "; ")
	return d
}

// handle is name@host[:port] of somebody of here.
func (d *design) handle(username string) string { return username + "@" + d.host }

// courtyardOf reads the address of a reader, or of his courtyard alone, and returns
// the base of its URLs.
func courtyardOf(text string) (base string, ok bool) {
	text = strings.TrimPrefix(strings.TrimSpace(text), "@")
	if len(text) > 320 {
		return "", false
	}
	host := text
	if strings.Contains(text, "@") {
		h, err := protocol.ParseHandle(text)
		if err != nil {
			return "", false
		}
		host = protocol.JoinHost(h.IP, h.Port)
	}
	host, err := protocol.ParseHost(host)
	if err != nil || !strings.ContainsAny(host, ".:") && !strings.HasPrefix(host, "localhost") {
		return "", false
	}
	base, err = reach.Base(host)
	return base, err == nil
}

// view is what is asked for: a page of posts, or one post.
type view struct {
	before int64
	single bool // the post called id alone
	id     protocol.ID
	astray bool // what was given as an address is none
}

// shown is what the template gets. Everything in it is text; the template escapes it.
type shown struct {
	T                 tongue
	Style             template.CSS
	Title             string
	Describe          string
	Image             string // absolute, "" for none
	Kind              string // Open Graph: profile or article
	URL               string
	Name, Username    string
	Handle, About     string
	AboutLang         string
	NameLang          string
	Picture           string
	Face              face
	Entries           []entry
	Single, Astray    bool
	Older             string
	Newest            bool
	App               string // where to follow in the app
	Base, Atom, Feeds string
	FooterText        string
}

type entry struct {
	URL, ISO, When, Lang string
	Edited               bool
	Paragraphs           [][]piece
	Photos               []photo
	Class                string
}

// piece is a stretch of text, or a link.
type piece struct{ Text, Link string }

type photo struct {
	Src           string
	Alt           string
	Width, Height int
}

func (d *design) photoPath(hash protocol.Hash32) string { return "/media/" + hash.String() + ".jpg" }

// author is who the page is about.
type author struct {
	Wall
	username string
	name     string
	about    string
	picture  string // path
}

func (w *Walls) author(ctx context.Context, username string) (author, error) {
	found, err := w.find(ctx, username, everybody)
	if err != nil {
		return author{}, err
	}
	a := author{Wall: found, username: username, name: username}
	if found.Profile == nil {
		return a, nil
	}
	p, err := post.Parse(*found.Profile)
	if err != nil {
		return a, &protocol.Error{Op: "wall.author", Code: protocol.CodeInternal, Cause: err}
	}
	if name := plainName(p.Name); name != "" {
		a.name = name
	}
	a.about = p.About
	if p.Picture != nil {
		a.picture = w.design.photoPath(p.Picture.Hash)
	}
	return a, nil
}

// posts of an author that a page or a feed shows.
func (w *Walls) shown(ctx context.Context, a author, before int64, limit int) ([]post.Change, error) {
	records, err := w.c.Store.Shown(ctx, a.UID, before, limit)
	if err != nil {
		return nil, err
	}
	list := make([]post.Change, 0, len(records))
	for _, rec := range records {
		c, err := post.Parse(rec)
		if err != nil { // it was verified before it was written
			return nil, &protocol.Error{Op: "wall.shown", Code: protocol.CodeInternal, Cause: err}
		}
		list = append(list, c)
	}
	return list, nil
}

func (w *Walls) render(ctx context.Context, t tongue, username string, v view) (*answer, error) {
	d := w.design
	a, err := w.author(ctx, username)
	if err != nil {
		return nil, err
	}
	wallURL := d.base + "/@" + username
	s := shown{
		T: t, Style: d.style, Title: a.name + " · " + d.host, Describe: a.about, Kind: "profile", URL: wallURL,
		Name: a.name, Username: username, Handle: d.handle(username), About: a.about, NameLang: script(a.name), AboutLang: script(a.about),
		Picture: a.picture, Face: faceOf(a.name, a.UID.String()), Astray: v.astray, App: "/app/#follow." + d.handle(username), Base: "/@" + username,
		Atom: wallURL + "/feed.atom", Feeds: wallURL + "/feed.json",
		FooterText: fmt.Sprintf(t.Footer, a.name),
	}
	if s.Describe == "" { // a preview says at least whose it is
		s.Describe = a.name + ", " + s.Handle
	}
	if a.picture != "" {
		s.Image = d.base + a.picture
	}
	var posts []post.Change
	if v.single {
		s.Single = true
		rec, found, err := w.c.Store.Post(ctx, a.UID, v.id)
		if err == nil && !found {
			err = missing("wall.render")
		}
		if err != nil {
			return nil, err
		}
		c, err := post.Parse(rec)
		if err != nil {
			return nil, &protocol.Error{Op: "wall.render", Code: protocol.CodeInternal, Cause: err}
		}
		posts = []post.Change{c}
		s.Kind, s.URL = "article", wallURL+"/p/"+v.id.String()
		if c.Text != "" {
			s.Describe = opening(c.Text, 200)
		}
		if len(c.Photos) > 0 {
			s.Image = d.base + d.photoPath(c.Photos[0].Hash)
		}
	} else if posts, err = w.shown(ctx, a, v.before, perPage+1); err != nil {
		return nil, err
	}
	if len(posts) > perPage {
		posts = posts[:perPage]
		s.Older = s.Base + "?before=" + strconv.FormatInt(posts[perPage-1].First(), 10)
	}
	s.Newest = s.Single || v.before < a.Seq
	for _, c := range posts {
		s.Entries = append(s.Entries, d.entry(t, s.Base, c))
	}
	var out bytes.Buffer
	if err := d.page.Execute(&out, s); err != nil {
		return nil, &protocol.Error{Op: "wall.render", Code: protocol.CodeInternal, Cause: err}
	}
	return newAnswer("text/html; charset=utf-8", out.Bytes()), nil
}

func when(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

// posted is the time of the post that a change shows.
func posted(c post.Change) time.Time {
	if c.Op == post.OpEdit {
		return when(c.Posted)
	}
	return when(c.TS)
}

var classes = []string{"", "one", "two", "three", "four"}

func (d *design) entry(t tongue, base string, c post.Change) entry {
	at := posted(c)
	e := entry{
		URL: base + "/p/" + c.ID.String(), ISO: at.Format(time.RFC3339), When: t.date(at), Lang: script(c.Text),
		Edited: c.Op == post.OpEdit, Paragraphs: paragraphs(c.Text), Class: classes[len(c.Photos)],
	}
	for i, p := range c.Photos {
		alt := p.Alt
		if alt == "" {
			alt = t.Photo + " " + strconv.Itoa(i+1)
		}
		e.Photos = append(e.Photos, photo{d.photoPath(p.Hash), alt, p.Width, p.Height})
	}
	return e
}
