package wall

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"html/template"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/post"
	"github.com/courtyard-social/courtyard/relay/internal/gate"
)

// titled is how long a feed's titles are, characters: the posts have none.
const titled = 80

// content is a post for feed readers: text and photos, nothing that runs.
var content = template.Must(template.New("content").Parse(
	`{{range .Paragraphs}}<p>{{range .}}{{if .Link}}<a href="{{.Link}}">{{.Text}}</a>{{else}}{{.Text}}{{end}}{{end}}</p>{{end}}` +
		`{{range .Photos}}<p><img src="{{.Src}}" alt="{{.Alt}}" width="{{.Width}}" height="{{.Height}}"></p>{{end}}`))

func (w *Walls) getFeedOf(call *gate.Call, kind string, make func(context.Context, string) (*answer, error)) error {
	username := call.Param("username")
	call.Writer().Header().Set("Access-Control-Allow-Origin", "*")
	a, err := w.cache.get(kind+" "+username, func() (*answer, error) { return make(call.Context(), username) })
	if err != nil {
		return err
	}
	return send(call, a, dead, briefly)
}

// item is one post of a feed.
type item struct {
	URL, Title, HTML string
	At, Updated      time.Time
	Text             string
	Photos           []attachment
}

func (w *Walls) items(ctx context.Context, username string) (author, []item, error) {
	a, err := w.author(ctx, username)
	if err != nil {
		return a, nil, err
	}
	posts, err := w.shown(ctx, a, last, perPage)
	if err != nil {
		return a, nil, err
	}
	items := []item{}
	for _, c := range posts {
		e := w.design.entry(tongues[0], w.design.base+"/@"+username, c)
		i := item{URL: e.URL, Text: c.Text, Title: opening(c.Text, titled), At: posted(c), Updated: when(c.TS)}
		if i.Title == "" {
			i.Title = tongues[0].Photos
		}
		for n := range e.Photos {
			e.Photos[n].Src = w.design.base + e.Photos[n].Src
			i.Photos = append(i.Photos, attachment{e.Photos[n].Src, "image/jpeg", c.Photos[n].Size})
		}
		var out bytes.Buffer
		if err := content.Execute(&out, e); err != nil {
			return a, nil, &protocol.Error{Op: "wall.items", Code: protocol.CodeInternal, Cause: err}
		}
		i.HTML = out.String()
		items = append(items, i)
	}
	return a, items, nil
}

// Atom, RFC 4287.
type (
	atomFeed struct {
		XMLName  xml.Name    `xml:"http://www.w3.org/2005/Atom feed"`
		ID       string      `xml:"id"`
		Title    string      `xml:"title"`
		Subtitle string      `xml:"subtitle,omitempty"`
		Updated  string      `xml:"updated"`
		Icon     string      `xml:"icon,omitempty"`
		Author   atomAuthor  `xml:"author"`
		Links    []atomLink  `xml:"link"`
		Entries  []atomEntry `xml:"entry"`
	}
	atomAuthor struct {
		Name string `xml:"name"`
		URI  string `xml:"uri"`
	}
	atomLink struct {
		Rel  string `xml:"rel,attr"`
		Type string `xml:"type,attr,omitempty"`
		Href string `xml:"href,attr"`
	}
	atomEntry struct {
		ID        string      `xml:"id"`
		Title     string      `xml:"title"`
		Published string      `xml:"published"`
		Updated   string      `xml:"updated"`
		Link      atomLink    `xml:"link"`
		Content   atomContent `xml:"content"`
	}
	atomContent struct {
		Type string `xml:"type,attr"`
		HTML string `xml:",chardata"`
	}
)

func (w *Walls) atom(ctx context.Context, username string) (*answer, error) {
	a, items, err := w.items(ctx, username)
	if err != nil {
		return nil, err
	}
	page := w.design.base + "/@" + username
	f := atomFeed{ID: page, Title: a.name, Subtitle: a.about, Author: atomAuthor{a.name, page}, Links: []atomLink{
		{Rel: "self", Type: "application/atom+xml", Href: page + "/feed.atom"}, {Rel: "alternate", Type: "text/html", Href: page},
	}}
	if a.picture != "" {
		f.Icon = w.design.base + a.picture
	}
	head, err := post.ParseHead(a.Head)
	if err != nil {
		return nil, &protocol.Error{Op: "wall.atom", Code: protocol.CodeInternal, Cause: err}
	}
	for _, i := range items {
		f.Entries = append(f.Entries, atomEntry{
			ID: i.URL, Title: i.Title, Published: i.At.Format(time.RFC3339), Updated: i.Updated.Format(time.RFC3339),
			Link: atomLink{Rel: "alternate", Type: "text/html", Href: i.URL}, Content: atomContent{"html", i.HTML},
		})
	}
	f.Updated = when(head.TS).Format(time.RFC3339)
	raw, err := xml.Marshal(f) // signs that XML cannot carry become U+FFFD
	if err != nil {
		return nil, &protocol.Error{Op: "wall.atom", Code: protocol.CodeInternal, Cause: err}
	}
	return newAnswer("application/atom+xml; charset=utf-8", append([]byte(xml.Header), raw...)), nil
}

// JSON Feed 1.1.
type (
	jsonFeed struct {
		Version     string       `json:"version"`
		Title       string       `json:"title"`
		Description string       `json:"description,omitempty"`
		Home        string       `json:"home_page_url"`
		Feed        string       `json:"feed_url"`
		Icon        string       `json:"icon,omitempty"`
		Authors     []jsonAuthor `json:"authors"`
		Items       []jsonItem   `json:"items"`
	}
	jsonAuthor struct {
		Name   string `json:"name"`
		URL    string `json:"url"`
		Avatar string `json:"avatar,omitempty"`
	}
	jsonItem struct {
		ID          string       `json:"id"`
		URL         string       `json:"url"`
		HTML        string       `json:"content_html"`
		Text        string       `json:"content_text,omitempty"`
		Published   string       `json:"date_published"`
		Modified    string       `json:"date_modified"`
		Attachments []attachment `json:"attachments,omitempty"`
	}
	attachment struct {
		URL  string `json:"url"`
		Type string `json:"mime_type"`
		Size int64  `json:"size_in_bytes"`
	}
)

func (w *Walls) jsonFeed(ctx context.Context, username string) (*answer, error) {
	a, items, err := w.items(ctx, username)
	if err != nil {
		return nil, err
	}
	page := w.design.base + "/@" + username
	f := jsonFeed{Version: "https://jsonfeed.org/version/1.1", Title: a.name, Description: a.about, Home: page, Feed: page + "/feed.json",
		Authors: []jsonAuthor{{Name: a.name, URL: page}}, Items: []jsonItem{}}
	if a.picture != "" {
		f.Icon = w.design.base + a.picture
		f.Authors[0].Avatar = f.Icon
	}
	for _, i := range items {
		f.Items = append(f.Items, jsonItem{ID: i.URL, URL: i.URL, HTML: i.HTML, Text: i.Text,
			Published: i.At.Format(time.RFC3339), Modified: i.Updated.Format(time.RFC3339), Attachments: i.Photos})
	}
	raw, err := json.Marshal(f)
	if err != nil {
		return nil, &protocol.Error{Op: "wall.jsonFeed", Code: protocol.CodeInternal, Cause: err}
	}
	return newAnswer("application/feed+json; charset=utf-8", raw), nil
}
