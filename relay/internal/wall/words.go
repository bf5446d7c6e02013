package wall

import (
	"strconv"
	"strings"
	"time"
)

// tongue is what the pages say in one language.
type tongue struct {
	Lang string

	Follow, FromCourtyard, Address, Go, Astray string
	LivesHere, FeedReader                      string
	Edited, Photo, Photos, Empty               string
	Older, Newest, Feed, What, Footer          string // Footer: %s is the author's name
	date                                       func(time.Time) string
}

var months = []string{"January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"}

func western(t time.Time) string {
	return strconv.Itoa(t.Day()) + " " + months[t.Month()-1] + " " + strconv.Itoa(t.Year())
}

func eastern(t time.Time) string {
	return strconv.Itoa(t.Year()) + "年" + strconv.Itoa(int(t.Month())) + "月" + strconv.Itoa(t.Day()) + "日"
}

// The languages of the app.
var tongues = []tongue{
	{
		Lang: "en", Follow: "Follow", FromCourtyard: "Have a courtyard? Follow from there", Address: "Your address", Go: "Go there",
		Astray:    "That is no address like you@your.example",
		LivesHere: "You live in this courtyard: open it in the app", FeedReader: "In a feed reader",
		Edited: "edited", Photo: "Photo", Photos: "Photos", Empty: "Nothing here yet.",
		Older: "Older", Newest: "Newest", Feed: "Feed", What: "What is a courtyard?", Footer: "What %s wrote for everyone. The rest stays at home.",
		date: western,
	},
	{
		Lang: "zh-Hans", Follow: "关注", FromCourtyard: "有自己的院子？从那里关注", Address: "你的地址", Go: "前往",
		Astray:    "这不是 you@your.example 那样的地址",
		LivesHere: "你就住在这个院子里：在应用中打开", FeedReader: "在订阅阅读器中",
		Edited: "已编辑", Photo: "照片", Photos: "照片", Empty: "这里还没有内容。",
		Older: "更早", Newest: "最新", Feed: "订阅源", What: "院子是什么？", Footer: "%s 写给所有人的内容。其余的留在家里。",
		date: eastern,
	},
	{
		Lang: "zh-Hant", Follow: "追蹤", FromCourtyard: "有自己的院子？從那裡追蹤", Address: "你的地址", Go: "前往",
		Astray:    "這不是 you@your.example 那樣的地址",
		LivesHere: "你就住在這個院子裡：在應用程式中開啟", FeedReader: "在訂閱閱讀器中",
		Edited: "已編輯", Photo: "照片", Photos: "照片", Empty: "這裡還沒有內容。",
		Older: "更早", Newest: "最新", Feed: "訂閱來源", What: "院子是什麼？", Footer: "%s 寫給所有人的內容。其餘的留在家裡。",
		date: eastern,
	},
}

// tongueOf reads Accept-Language: the language of ours with the highest weight,
// the first of equals, English for everything else.
func tongueOf(header string) tongue {
	best, weight := tongues[0], 0.0
	if len(header) > 200 {
		header = header[:200]
	}
	for part := range strings.SplitSeq(header, ",") {
		tag, parameter, _ := strings.Cut(strings.TrimSpace(part), ";")
		q := 1.0
		if text, ok := strings.CutPrefix(strings.TrimSpace(parameter), "q="); ok {
			n, err := strconv.ParseFloat(text, 64)
			if err != nil {
				continue
			}
			q = n
		}
		if t, ok := ours(strings.ToLower(strings.TrimSpace(tag))); ok && q > weight {
			best, weight = t, q
		}
	}
	return best
}

func ours(tag string) (tongue, bool) {
	switch {
	case tag == "en" || strings.HasPrefix(tag, "en-"):
		return tongues[0], true
	case tag == "zh-hant", strings.HasPrefix(tag, "zh-hant-"), tag == "zh-tw", tag == "zh-hk", tag == "zh-mo":
		return tongues[2], true
	case tag == "zh", strings.HasPrefix(tag, "zh-"):
		return tongues[1], true
	}
	return tongue{}, false
}
