import type { Widened } from '../catalogue';
import type { traffic as english } from '../en/traffic';

export const traffic: Widened<typeof english> = {
  traffic: {
    title: '经过你院子的通话',
    words: '两台设备没法直接连上，或者有人选了总是经过院子时，通话和直连的内容会经过你的院子转过去。这里是这个月的量。院子只管转，看不到里面是什么。',
    sum: (size) => `这个月 ${size}`,
    none: '这个月还没有什么经过你的院子。',
    off: '你的院子不转通话：要么关掉了，要么由别的服务来转，由它自己计量。',
    both: (month, second) => `每人每月 ${month}，每秒最多 ${second}。`,
    monthly: (month) => `每人每月 ${month}。`,
    atOnce: (second) => `每人每秒最多 ${second}。`,
    unbounded: '没有上限。',
    twice: '进来的还要再出去：租给你机器的商家可能会算两遍。',
    who: '谁用了',
    open: (_n, shown) => `现在有 ${shown} 条连接`,
    speed: (size) => `这会儿每秒 ${size}`,
    spent: '这个月的用完了',
  },
};
