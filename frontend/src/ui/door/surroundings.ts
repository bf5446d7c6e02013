/** What kind of window the app was opened in: a real browser, an icon, or a window inside another app. */

export interface Surroundings {
  readonly system: 'ios' | 'android' | 'other';
  readonly standalone: boolean;
  /** Safari itself, the only one on an iPhone that keeps the address in the icon for certain */
  readonly safari: boolean;
  /** the app whose window this is; `''`: one that does not say its name; undefined: a real browser */
  readonly embeddedIn: string | undefined;
}

const hosts: readonly (readonly [RegExp, string])[] = [
  [/MicroMessenger/iu, 'WeChat'],
  [/WhatsApp/iu, 'WhatsApp'],
  [/FBAN|FBAV|FB_IAB/u, 'Facebook'],
  [/Instagram/iu, 'Instagram'],
  [/\bLine\//iu, 'LINE'],
  [/KAKAOTALK/iu, 'KakaoTalk'],
  [/Snapchat/iu, 'Snapchat'],
  [/DingTalk/iu, 'DingTalk'],
  [/\bWeibo\b/iu, 'Weibo'],
  [/\bQQ\//u, 'QQ'],
  [/AlipayClient/iu, 'Alipay'],
  [/Telegram/iu, 'Telegram'],
  [/TikTok|BytedanceWebview|musical_ly/iu, 'TikTok'],
  [/LinkedInApp/iu, 'LinkedIn'],
  [/\bXiaoHongShu\b|discover\//iu, '小红书'],
];

/** @param displayed whether the window is displayed like an app (`display-mode: standalone`) */
export function surroundings(navigator: { readonly userAgent: string; readonly maxTouchPoints: number }, displayed: boolean): Surroundings {
  const agent = navigator.userAgent;
  // An iPad calls itself a Mac; no Mac has a touch screen.
  const ios = /iPhone|iPad|iPod/u.test(agent) || (agent.includes('Macintosh') && navigator.maxTouchPoints > 1);
  const android = agent.includes('Android');
  const standalone = displayed || ('standalone' in navigator && navigator.standalone === true);
  const named = hosts.find(([mark]) => mark.test(agent))?.[1];
  const other = /CriOS|FxiOS|EdgiOS|OPiOS|DuckDuckGo|Brave/u.test(agent);
  const safari = ios && !other && named === undefined && /Version\/\S+.*Safari\//u.test(agent);
  // A window of an app: on Android it is marked "; wv", on an iPhone it does not call itself Safari as every browser does.
  const nameless = (android && agent.includes('; wv)')) || (ios && !standalone && !agent.includes('Safari/'));
  return {
    system: ios ? 'ios' : android ? 'android' : 'other',
    standalone,
    safari,
    embeddedIn: standalone ? undefined : (named ?? (nameless ? '' : undefined)),
  };
}

/** The address that asks the system to open a page in the real browser; undefined where there is no such way. */
export function elsewhere(url: string, system: Surroundings['system']): string | undefined {
  const bare = url.replace(/^https?:\/\//u, '');
  const scheme = url.startsWith('http://') ? 'http' : 'https';
  if (system === 'ios') return `x-safari-${scheme}://${bare}`;
  // Android takes what stands behind the last # as its own, so the secret in ours stays within the address.
  if (system === 'android') return `intent://${bare}#Intent;scheme=${scheme};action=android.intent.action.VIEW;end`;
  return undefined;
}
