package wall

import (
	"regexp"
	"strings"
	"unicode"
)

// links are what a reader may click: plain web addresses. Full-width signs end one,
// as they end a sentence around it.
var links = regexp.MustCompile(`https?://[^\s<>"'“”‘’（）【】「」，。；：！？、]+`)

// unseen are controls, marks of direction and what has no width; the joiners stay,
// which scripts and emoji are written with.
var unseen = regexp.MustCompile(`[\p{Cc}\x{ad}\x{61c}\x{115f}\x{1160}\x{180e}\x{200b}\x{200e}\x{200f}\x{2028}-\x{202e}\x{2060}-\x{206f}\x{3164}\x{feff}\x{ffa0}]`)

// plainName is a name as it is shown (section 8): nothing in it is hidden, and it does
// not turn round what stands beside it.
func plainName(name string) string { return strings.TrimSpace(unseen.ReplaceAllString(name, "")) }

// paragraphs splits a text at empty lines, and finds the links in it.
func paragraphs(text string) [][]piece {
	var out [][]piece
	text = strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n")
	for part := range strings.SplitSeq(text, "\n\n") {
		if part = strings.Trim(part, "\n"); strings.TrimSpace(part) != "" {
			out = append(out, pieces(part))
		}
	}
	return out
}

func pieces(text string) []piece {
	var out []piece
	at := 0
	for _, span := range links.FindAllStringIndex(text, -1) {
		link := strings.TrimRight(text[span[0]:span[1]], ".,;:!?)]}*_")
		if strings.HasSuffix(link, "://") {
			continue
		}
		if span[0] > at {
			out = append(out, piece{Text: text[at:span[0]]})
		}
		out = append(out, piece{Text: link, Link: link})
		at = span[0] + len(link)
	}
	if at < len(text) {
		out = append(out, piece{Text: text[at:]})
	}
	return out
}

// opening is the beginning of a text, on one line, of at most most characters.
func opening(text string, most int) string {
	runes := []rune(strings.Join(strings.Fields(text), " "))
	if len(runes) <= most {
		return string(runes)
	}
	return string(runes[:most-1]) + "…"
}

// script guesses the language of a text from its script, as far as the setting of
// type needs it: "", unknown, for all that is written in letters.
func script(text string) string {
	found := ""
	for _, r := range text {
		switch {
		case unicode.Is(unicode.Hiragana, r), unicode.Is(unicode.Katakana, r):
			return "ja"
		case unicode.Is(unicode.Hangul, r):
			return "ko"
		case unicode.Is(unicode.Han, r):
			found = "zh"
		}
	}
	return found
}

// face stands in for a picture: two letters or one character, in a quiet tone, the
// same as in the app (frontend/src/ui/words/names.ts).
type face struct {
	Letters string
	Seal    bool // one character of Chinese, Japanese or Korean
	Tone    int  // 1 to 8
}

func faceOf(name, seed string) face {
	tone := int(fnv(seed)%8) + 1
	var words []string
	for _, word := range strings.FieldsFunc(name, func(r rune) bool { return unicode.IsSpace(r) || r == '·' || r == '•' }) {
		if first(word) != 0 {
			words = append(words, word)
		}
	}
	if len(words) == 0 {
		return face{"·", false, tone}
	}
	a := first(words[0])
	if seals(a) {
		return face{string(a), true, tone}
	}
	letters := string(a)
	if len(words) > 1 {
		if b := first(words[len(words)-1]); !seals(b) {
			letters += string(b)
		}
	}
	return face{strings.ToUpper(letters), false, tone}
}

// first is the first letter or number of a word, 0 for none.
func first(word string) rune {
	for _, r := range word {
		if unicode.IsLetter(r) || unicode.IsNumber(r) {
			return r
		}
	}
	return 0
}

func seals(r rune) bool {
	return unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul)
}

// fnv is FNV-1a over code points, 32 bits.
func fnv(text string) uint32 {
	h := uint32(0x811c9dc5)
	for _, r := range text {
		h = (h ^ uint32(r)) * 0x01000193
	}
	return h
}
