/** Guesses the language of what a person wrote, so that fonts, quotes and voices fit it. */

const han = /\p{Script=Han}/gu;
const kana = /\p{Script=Hiragana}|\p{Script=Katakana}/u;
const hangul = /\p{Script=Hangul}/u;
const latin = /\p{Script=Latin}/gu;
const address = /\bhttps?:\/\/\S+/giu;

/** The most frequent characters that are written in two ways, in pairs: simplified, traditional. */
const pairs =
  '们們来來时時说說对對会會为為个個国國过過还還后後开開见見长長门門问問间間东東车車马馬鸟鳥鱼魚龙龍吗嗎么麼没沒关關电電话話谢謝学學书書' +
  '买買卖賣给給让讓请請认認识識谁誰现現爱愛亲親妈媽爷爺点點热熱饭飯钱錢岁歲气氣听聽远遠进進运運边邊这這样樣应應该該实實际際发發动動务務' +
  '号號写寫图圖园園头頭万萬与與业業丝絲两兩丽麗乐樂习習乡鄉亚亞产產从從众眾优優传傳伤傷体體儿兒兴興养養农農冯馮冲衝净淨凉涼刚剛别別办辦' +
  '劳勞华華单單卫衛厂廠历歷压壓县縣双雙变變叶葉员員响響团團围圍圆圓块塊坏壞声聲处處备備复復够夠夺奪妇婦孙孫宁寧宝寶审審宽寬宾賓导導将將' +
  '岛島师師带帶帮幫库庫张張归歸当當录錄忆憶忧憂怀懷态態总總恋戀惊驚惯慣愿願战戰户戶护護报報担擔择擇换換据據摇搖数數断斷无無旧舊显顯晒曬' +
  '晓曉机機杂雜权權条條极極枣棗树樹桥橋检檢楼樓欢歡残殘汉漢汤湯满滿灯燈灵靈烟煙烦煩烧燒牵牽独獨猫貓画畫疗療确確礼禮离離种種积積稳穩穷窮' +
  '笔筆简簡红紅约約级級纪紀纸紙线線练練组組细細经經结結给給绝絕统統继繼续續绿綠网網罗羅职職联聯脏髒脑腦脸臉艺藝节節药藥获獲虽雖虫蟲补補' +
  '装裝规規视視览覽觉覺订訂计計讨討训訓议議讯訊记記讲講许許论論设設访訪证證评評词詞译譯试試诗詩语語误誤读讀课課调調谈談负負财財质質贵貴' +
  '费費贺賀资資赏賞赛賽赶趕跃躍转轉轻輕较較辈輩输輸达達迟遲适適选選遗遺邮郵邻鄰采採钟鐘钢鋼银銀锁鎖错錯镜鏡闲閒闹鬧闻聞阳陽阴陰阶階' +
  '陆陸随隨难難雾霧静靜顺順须須顾顧预預领領题題颜顏风風飞飛饭飯饮飲饺餃饿餓馆館驾駕验驗骂罵鸡雞鸭鴨麦麥黄黃齐齊齿齒';

const simplified = new Set<string>();
const traditional = new Set<string>();
for (let at = 0; at < pairs.length; at += 2) {
  const one = pairs.charAt(at);
  const other = pairs.charAt(at + 1);
  if (one === other) continue;
  simplified.add(one);
  traditional.add(other);
}

/**
 * The `lang` for a stretch of text on a page in `page`, or undefined when the page's own fits.
 * Looks at no more than the first 400 characters.
 */
export function tongue(text: string, page: string): string | undefined {
  const sample = text.slice(0, 400).replaceAll(address, '');
  if (kana.test(sample)) return 'ja';
  if (hangul.test(sample)) return 'ko';
  const characters = sample.match(han)?.length ?? 0;
  // A Chinese character says about as much as three letters; one in an English sentence does not make it Chinese.
  if (characters > 0 && characters * 3 >= (sample.match(latin)?.length ?? 0)) {
    const written = script(sample) ?? (page.startsWith('zh') ? page : 'zh-Hans');
    return written === page ? undefined : written;
  }
  return page.startsWith('zh') && sample.search(latin) >= 0 ? 'en' : undefined;
}

function script(text: string): 'zh-Hans' | 'zh-Hant' | undefined {
  let balance = 0;
  for (const char of text) {
    if (simplified.has(char)) balance -= 1;
    if (traditional.has(char)) balance += 1;
  }
  return balance === 0 ? undefined : balance < 0 ? 'zh-Hans' : 'zh-Hant';
}
