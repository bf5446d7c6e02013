import type { Widened } from '../catalogue';
import type { traffic as english } from '../en/traffic';

export const traffic: Widened<typeof english> = {
  traffic: {
    title: '經過你院子的通話',
    words: '兩台裝置沒辦法直接連上，或者有人選了總是經過院子時，通話和直連的內容會經過你的院子轉過去。這裡是這個月的量。院子只管轉，看不到裡面是什麼。',
    sum: (size) => `這個月 ${size}`,
    none: '這個月還沒有什麼經過你的院子。',
    off: '你的院子不轉通話：要麼關掉了，要麼由別的服務來轉，由它自己計量。',
    both: (month, second) => `每人每月 ${month}，每秒最多 ${second}。`,
    monthly: (month) => `每人每月 ${month}。`,
    atOnce: (second) => `每人每秒最多 ${second}。`,
    unbounded: '沒有上限。',
    twice: '進來的還要再出去：租給你機器的商家可能會算兩遍。',
    who: '誰用了',
    open: (_n, shown) => `現在有 ${shown} 條連線`,
    speed: (size) => `這會兒每秒 ${size}`,
    spent: '這個月的用完了',
  },
};
