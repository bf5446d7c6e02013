package lan

import (
	"slices"
	"strconv"
	"strings"

	"github.com/courtyard-social/courtyard/homedb/internal/household"
)

// words are everything the page says, in one language.
type words struct {
	Lang, Title                             string
	Ready, ReadyMore, Open, OpenMore        string
	Paste, PasteAlone                       string
	PasteMore, PasteConsent                 string
	Code, Pair                              string
	Here, HereOne, AllFine, SomeAway, Twice string
	Gone                                    string
	BadCode, Busy, Refused                  string
	Stages                                  map[household.Stage]string
}

var english = words{
	Lang: "en", Title: "Home",
	Ready:        "Your home is ready.",
	ReadyMore:    "From here on it can keep everything you write and receive in Courtyard.",
	Open:         "Connect it with my Courtyard",
	OpenMore:     "Opens your Courtyard. Say yes there.",
	Paste:        "Or enter a code",
	PasteAlone:   "Enter a code",
	PasteMore:    "In Courtyard: Me, Home, “Pair a home”. Copy the code from there.",
	PasteConsent: "Whoever was here first is asked in Courtyard whether that is all right.",
	Code:         "Code", Pair: "Connect",
	Here: "This home looks after %n people.", HereOne: "This home looks after one person.",
	AllFine: "Everything is connected.", SomeAway: "Not everybody’s courtyard can be reached at the moment. Nothing is lost: this home keeps trying.",
	Twice:   "A second home with the same key tried to connect. Does a copy of this disk run somewhere else? Switch one of them off.",
	Gone:    "Somebody has disconnected this home from their Courtyard. What it kept is still here.",
	BadCode: "That is not a code. It looks like courtyard.example/ABCD-EFGH-JKMN-PQRS.",
	Busy:    "Too much is waiting already. Please try again in ten minutes.",
	Refused: "This page was not asked by itself. Please open it again.",
	Stages: map[household.Stage]string{
		household.Waiting:  "Waiting for Courtyard in your browser …",
		household.Begun:    "Connecting …",
		household.Paired:   "Connected. You can close this page.",
		household.Refused:  "That did not fit together. Please make a new code.",
		household.Used:     "This code has been used already. Please make a new one.",
		household.TimedOut: "Nobody answered. Please make a new code.",
		household.Failed:   "The courtyard could not be reached. Please make a new code and try again.",
		household.Asking:   "Waiting for a yes in Courtyard, from whoever was here first …",
		household.Declined: "The answer was no.",
	},
}

var simplified = words{
	Lang: "zh-Hans", Title: "家",
	Ready:        "你的家已经准备好了。",
	ReadyMore:    "从现在起，你在 Courtyard 里写的和收到的都可以存放在这里。",
	Open:         "与我的 Courtyard 连接",
	OpenMore:     "会打开你的 Courtyard，请在那里确认。",
	Paste:        "或者输入配对码",
	PasteAlone:   "输入配对码",
	PasteMore:    "在 Courtyard 里打开“我”→“家”→“连上一个家”，把那里的配对码复制过来。",
	PasteConsent: "会先在 Courtyard 里征求最早住进来的人同意。",
	Code:         "配对码", Pair: "连接",
	Here: "这个家照看着 %n 个人。", HereOne: "这个家照看着 1 个人。",
	AllFine: "一切都已连接。", SomeAway: "目前有人的院子连不上。什么都不会丢：家会一直重试。",
	Twice:   "另一个持有同样密钥的家试图连接。这块磁盘是不是有一份副本在别处运行？请关掉其中一个。",
	Gone:    "有人已把这个家从自己的 Courtyard 断开。存过的内容仍在这里。",
	BadCode: "这不是配对码。配对码形如 courtyard.example/ABCD-EFGH-JKMN-PQRS。",
	Busy:    "等待处理的已经太多了，请十分钟后再试。",
	Refused: "这个请求不是从本页发出的，请重新打开本页。",
	Stages: map[household.Stage]string{
		household.Waiting:  "正在等待你浏览器里的 Courtyard……",
		household.Begun:    "正在连接……",
		household.Paired:   "已连接。可以关闭本页了。",
		household.Refused:  "两边对不上，请重新生成一个配对码。",
		household.Used:     "这个配对码已经用过了，请重新生成一个。",
		household.TimedOut: "没有回应，请重新生成一个配对码。",
		household.Failed:   "连不上院子，请重新生成配对码再试。",
		household.Asking:   "正在等待最早住进来的人在 Courtyard 里同意……",
		household.Declined: "对方没有同意。",
	},
}

var traditional = words{
	Lang: "zh-Hant", Title: "家",
	Ready:        "你的家已經準備好了。",
	ReadyMore:    "從現在起，你在 Courtyard 裡寫的和收到的都可以存放在這裡。",
	Open:         "與我的 Courtyard 連線",
	OpenMore:     "會開啟你的 Courtyard，請在那裡確認。",
	Paste:        "或者輸入配對碼",
	PasteAlone:   "輸入配對碼",
	PasteMore:    "在 Courtyard 裡開啟「我」→「家」→「連上一個家」，把那裡的配對碼複製過來。",
	PasteConsent: "會先在 Courtyard 裡徵求最早住進來的人同意。",
	Code:         "配對碼", Pair: "連線",
	Here: "這個家照看著 %n 個人。", HereOne: "這個家照看著 1 個人。",
	AllFine: "一切都已連線。", SomeAway: "目前有人的院子連不上。什麼都不會遺失：家會一直重試。",
	Twice:   "另一個持有同樣金鑰的家試圖連線。這顆磁碟是不是有一份副本在別處執行？請關掉其中一個。",
	Gone:    "有人已把這個家從自己的 Courtyard 中斷連線。存過的內容仍在這裡。",
	BadCode: "這不是配對碼。配對碼形如 courtyard.example/ABCD-EFGH-JKMN-PQRS。",
	Busy:    "等待處理的已經太多了，請十分鐘後再試。",
	Refused: "這個請求不是從本頁發出的，請重新開啟本頁。",
	Stages: map[household.Stage]string{
		household.Waiting:  "正在等待你瀏覽器裡的 Courtyard……",
		household.Begun:    "正在連線……",
		household.Paired:   "已連線。可以關閉本頁了。",
		household.Refused:  "兩邊對不上，請重新產生一個配對碼。",
		household.Used:     "這個配對碼已經用過了，請重新產生一個。",
		household.TimedOut: "沒有回應，請重新產生一個配對碼。",
		household.Failed:   "連不上院子，請重新產生配對碼再試。",
		household.Asking:   "正在等待最早住進來的人在 Courtyard 裡同意……",
		household.Declined: "對方沒有同意。",
	},
}

// People is how many this home looks after, in words.
func (w words) People(n int) string {
	if n == 1 {
		return w.HereOne
	}
	return strings.ReplaceAll(w.Here, "%n", strconv.Itoa(n))
}

// speak chooses the language by Accept-Language.
func speak(header string) words {
	type choice struct {
		tag string
		q   float64
	}
	var choices []choice
	for i, part := range strings.Split(header, ",") {
		if i == 20 { // nobody speaks more
			break
		}
		tag, params, _ := strings.Cut(strings.TrimSpace(part), ";")
		q := 1.0
		if text, ok := strings.CutPrefix(strings.TrimSpace(params), "q="); ok {
			var err error
			if q, err = strconv.ParseFloat(text, 64); err != nil {
				continue
			}
		}
		choices = append(choices, choice{strings.ToLower(tag), q})
	}
	slices.SortStableFunc(choices, func(a, b choice) int {
		switch {
		case a.q > b.q:
			return -1
		case a.q < b.q:
			return 1
		}
		return 0
	})
	for _, c := range choices {
		switch {
		case c.q <= 0:
		case strings.HasPrefix(c.tag, "zh-hant"), c.tag == "zh-tw", c.tag == "zh-hk", c.tag == "zh-mo":
			return traditional
		case c.tag == "zh", strings.HasPrefix(c.tag, "zh-"):
			return simplified
		case c.tag == "en", strings.HasPrefix(c.tag, "en-"):
			return english
		}
	}
	return english
}
