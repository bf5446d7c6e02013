package web

import (
	"bytes"
	_ "embed"
	"html/template"
	"net/http"
	"strconv"
	"strings"
)

//go:embed lost.html
var lostText string

var lostPage = template.Must(template.New("lost").Parse(lostText))

// sorry is one page of words, in one language.
type sorry struct{ Lang, Title, Words, Home string }

// The languages of the app, in the order in which the page says them.
var (
	notHere = []sorry{
		{"en", "There is nothing at this address", "The link may be incomplete: copy all of it and open it again.", "Open Courtyard"},
		{"zh-Hans", "这个地址没有内容", "链接可能不完整，请整条复制后再打开。", "打开 Courtyard"},
		{"zh-Hant", "這個網址沒有內容", "連結可能不完整，請整條複製後再開啟。", "開啟 Courtyard"},
	}
	tooOften = []sorry{
		{"en", "That was too often in a short time", "Nothing is lost. Wait a minute and load the page again.", "Open Courtyard"},
		{"zh-Hans", "短时间里次数太多了", "什么都没有丢。等一分钟再重新载入。", "打开 Courtyard"},
		{"zh-Hant", "短時間內次數太多了", "什麼都沒有遺失。等一分鐘再重新載入。", "開啟 Courtyard"},
	}
	mishap = []sorry{
		{"en", "The courtyard had a mishap", "What you wrote is safe on your device. Load the page again in a moment.", "Open Courtyard"},
		{"zh-Hans", "院子出了点小事故", "你写的都安全地存在你的设备上。过一会儿再重新载入。", "打开 Courtyard"},
		{"zh-Hant", "院子出了點小事故", "你寫的都安全地存在你的裝置上。過一會兒再重新載入。", "開啟 Courtyard"},
	}
)

// forPerson reports whether a request is somebody's browser opening an address,
// rather than a program asking the interface.
func forPerson(r *http.Request) bool {
	if r.Method != http.MethodGet && r.Method != http.MethodHead || strings.HasPrefix(r.URL.Path, "/api/") {
		return false
	}
	return strings.Contains(r.Header.Get("Accept"), "text/html")
}

// Lost answers a person who came to an address where nothing is, or at a bad
// moment, with a small page in the languages of the app, and reports whether it
// did: a program gets its answer elsewhere. It repeats nothing of the request.
func (s *Site) Lost(w http.ResponseWriter, r *http.Request, status int) bool {
	if !forPerson(r) {
		return false
	}
	words := notHere
	switch {
	case status == http.StatusTooManyRequests:
		words = tooOften
	case status >= http.StatusInternalServerError:
		words = mishap
	}
	var body bytes.Buffer
	if err := lostPage.Execute(&body, words); err != nil {
		panic(err) // a template of constants, into memory
	}
	s.protect(w.Header())
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(body.Len()))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = body.WriteTo(w) // the client may go away at any time; nothing is owed to it
	}
	return true
}
