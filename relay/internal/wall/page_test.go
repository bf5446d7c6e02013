package wall

import (
	"crypto/sha256"
	"encoding/base64"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/courtyard-social/courtyard/protocol/post"
)

func TestEveryLanguageSaysEverything(t *testing.T) {
	day := time.Date(2026, 11, 8, 12, 0, 0, 0, time.UTC)
	for _, tongue := range tongues {
		v := reflect.ValueOf(tongue)
		for i := range v.NumField() {
			if f := v.Field(i); f.Kind() == reflect.String && f.String() == "" {
				t.Errorf("%s has no %s", tongue.Lang, v.Type().Field(i).Name)
			}
		}
		if strings.Count(tongue.Footer, "%s") != 1 || strings.Count(tongue.Footer, "%") != 1 {
			t.Error(tongue.Lang, tongue.Footer)
		}
		if !strings.Contains(tongue.date(day), "2026") {
			t.Error(tongue.date(day))
		}
	}
	if en, zh := tongues[0].date(day), tongues[1].date(day); en != "8 November 2026" || zh != "2026年11月8日" {
		t.Error(en, zh)
	}
}

func TestPlainName(t *testing.T) {
	for name, want := range map[string]string{
		"林美": "林美", " Anna\u202e\u200b O’Neil\a ": "Anna O’Neil", "\u2067אבא\u2069": "אבא", "مى\u200cخواهم": "مى\u200cخواهم", "👩\u200d🌾": "👩\u200d🌾", "\u200b\u3164\ufeff": "",
	} {
		if got := plainName(name); got != want {
			t.Errorf("%q is shown as %q, want %q", name, got, want)
		}
	}
}

func TestTongueOf(t *testing.T) {
	for header, want := range map[string]string{
		"": "en", "*": "en", "fr": "en", "de, zh-TW;q=0.5": "zh-Hant", "en;q=0.5,zh-CN": "zh-Hans", "zh": "zh-Hans", "zh-Hant-HK": "zh-Hant", "zh-hk": "zh-Hant",
		"en-GB,en;q=0.9,zh;q=0.8": "en", "zh;q=0": "en", "zh;q=x": "en", "zh ; q=0.4 , en;q=0.3": "zh-Hans", "zh-SG": "zh-Hans", "zhx": "en", strings.Repeat("x,", 5000) + "zh": "en",
	} {
		if got := tongueOf(header).Lang; got != want {
			t.Errorf("%.40q: %s, want %s", header, got, want)
		}
	}
}

func TestStyleIsTheOneThatThePolicyAllows(t *testing.T) {
	d := newDesign([]string{"relay.example"})
	var out strings.Builder
	if err := d.page.Execute(&out, shown{T: tongues[0], Style: d.style}); err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(out.String(), "<style>")
	style, _, ok := strings.Cut(rest, "</style>")
	sum := sha256.Sum256([]byte(style))
	if !ok || !strings.Contains(d.policy, "style-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'") {
		t.Error("a browser would not show the page as it is meant")
	}
	if !strings.Contains(d.policy, "form-action 'self' https:;") {
		t.Error(d.policy)
	}
}

func TestParagraphs(t *testing.T) {
	for text, want := range map[string][][]piece{
		"":                   nil,
		"\n \n\n":            nil,
		"a\nb\n\n\n\nc\r\nd": {{{"a\nb", ""}}, {{"c\nd", ""}}},
		"see https://a.example/x_(y)?z=1&w, and http://b.": {{{"see ", ""}, {"https://a.example/x_(y)?z=1&w", "https://a.example/x_(y)?z=1&w"}, {", and ", ""}, {"http://b", "http://b"}, {".", ""}}},
		"看（https://a.example/路）。":                          {{{"看（", ""}, {"https://a.example/路", "https://a.example/路"}, {"）。", ""}}},
		"https:// javascript:alert(1) ftp://x":             {{{"https:// javascript:alert(1) ftp://x", ""}}},
	} {
		if got := paragraphs(text); !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %q", text, got)
		}
	}
}

func TestFaces(t *testing.T) {
	for name, want := range map[string]face{
		"Mei Lindqvist 林美": {"M", false, 0}, "Mei Lindqvist": {"ML", false, 0}, "林美": {"林", true, 0}, "  ": {"·", false, 0}, "🙂": {"·", false, 0},
		"émile": {"É", false, 0}, "ひろ": {"ひ", true, 0}, "a·b": {"AB", false, 0},
	} {
		got := faceOf(name, "seed")
		if got.Tone < 1 || got.Tone > 8 {
			t.Error(got)
		}
		got.Tone = 0
		if got != want {
			t.Errorf("%q: %+v", name, got)
		}
	}
	// As frontend/src/ui/words/names.ts has it.
	if fnv("") != 0x811c9dc5 || fnv("a") != 0xe40c292c || fnv("foobar") != 0xbf9cf968 {
		t.Error("not FNV-1a")
	}
	for text, want := range map[string]string{"hello": "", "你好": "zh", "こんにちは世界": "ja", "안녕": "ko", "Привет": ""} {
		if got := script(text); got != want {
			t.Errorf("%q: %q", text, got)
		}
	}
	if got := opening("a  b\n"+strings.Repeat("字", 100), 10); got != "a b 字字字字字…" {
		t.Error(got)
	}
}

func TestTheCacheIsBoundedAndForgets(t *testing.T) {
	now := time.Unix(0, 0)
	c := newCache(func() time.Time { return now })
	made := 0
	give := func(n int) func() (*answer, error) {
		return func() (*answer, error) { made++; return newAnswer("x", make([]byte, n)), nil }
	}
	read := func(key string, n int) {
		t.Helper()
		if _, err := c.get(key, give(n)); err != nil {
			t.Fatal(err)
		}
	}
	read("a", 10)
	read("a", 10)
	if made != 1 {
		t.Error("made", made)
	}
	now = now.Add(fresh)
	read("a", 10)
	done := c.write()
	read("a", 10)
	done()
	read("a", 10)
	if made != 4 {
		t.Error("made", made)
	}
	read("a", 10)
	if made != 4 {
		t.Error("made", made)
	}
	for i := range 100 {
		read(strings.Repeat("k", i), post.MaxPage)
		if c.size > cacheBytes {
			t.Fatal("holds", c.size)
		}
	}
	sum := 0
	for key, a := range c.answers {
		sum += len(key) + len(a.body)
	}
	if sum != c.size || len(c.answers) == 0 {
		t.Error(sum, c.size)
	}
	// What was read before something was written is given to whoever asked, and kept for nobody.
	_, err := c.get("late", func() (*answer, error) { c.write()(); return newAnswer("x", nil), nil })
	if err != nil || c.answers["late"] != nil {
		t.Error("kept", err)
	}
}

// FuzzText: whatever a text is, its pieces are the text, and links are links.
func FuzzText(f *testing.F) {
	for _, text := range []string{"a\n\nb", "https://a.example/x.", "看（https://a.example/路）。", "http://", "https://a\"b<c>"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		whole := ""
		for _, p := range pieces(text) {
			whole += p.Text
			if p.Link != "" && (p.Link != p.Text || !strings.HasPrefix(p.Link, "http://") && !strings.HasPrefix(p.Link, "https://") || strings.ContainsAny(p.Link, "<>\"' \n")) {
				t.Fatalf("%q", p)
			}
		}
		if whole != text {
			t.Fatalf("%q became %q", text, whole)
		}
		faceOf(text, text)
		script(text)
		paragraphs(text)
		tongueOf(text)
	})
}
